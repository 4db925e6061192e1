"""What is a visitor's own and survives a reload: kept on the server under the browser's cookie.

A reload begins a new session; the browser is the same. The tabs of one browser share what is kept
here, so that none of them loses what another has added.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import MEMORY

COOKIE = "backward_lens_visitor"
NAME = re.compile(r"[A-Za-z0-9_-]{22}")
MOST_VISITORS = 1000
OF_MEMORY = 1 / 10  # of the server's memory, for all that is kept here


class Kept(Protocol):
    """Something of a visitor's; the same object in all of the browser's tabs."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...


T = TypeVar("T", bound=Kept)


class Visitors:
    """What each browser's visitor keeps, by name; those who were not here for longest go first."""

    def __init__(self, most_bytes: Callable[[], float]) -> None:
        self._most_bytes = most_bytes
        self._of: OrderedDict[str, dict[str, Kept]] = OrderedDict()
        self._guard = threading.Lock()

    def own(self, visitor: str, name: str, make: Callable[[], T]) -> T:
        with self._guard:
            things = self._of.setdefault(visitor, {})
            self._of.move_to_end(visitor)
            if name not in things:
                things[name] = make()
            self._forget_some()
            return things[name]

    def _forget_some(self) -> None:
        sizes = {
            visitor: sum(t.size for t in things.values()) for visitor, things in self._of.items()
        }
        total = sum(sizes.values())
        while len(self._of) > 1 and (len(self._of) > MOST_VISITORS or total > self._most_bytes()):
            gone, _ = self._of.popitem(last=False)
            total -= sizes[gone]


@st.cache_resource(show_spinner=False)
def visitors() -> Visitors:
    return Visitors(lambda: OF_MEMORY * MEMORY.value)


def own(name: str, make: Callable[[], T]) -> T:
    """The visitor's thing of this name, made where there is none yet.

    Changed in place, it is changed in all tabs of the browser and after a reload. Without a cookie
    it is the session's alone.
    """
    if name not in st.session_state:
        visitor = st.context.cookies.get(COOKIE)  # no text in Streamlit's test harness
        known = isinstance(visitor, str) and NAME.fullmatch(visitor) is not None
        st.session_state[name] = visitors().own(visitor, name, make) if known else make()
    return st.session_state[name]


class VisitorCookie:
    """Gives a browser that comes without the cookie one, with a page it asks for.

    Its value says nothing about the visitor; it ends with the browser, and no script can read it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or COOKIE in cookies_of(scope):
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", new_cookie(secure=scope["scheme"] == "https"))
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def cookies_of(scope: Scope) -> dict[str, str]:
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    return cookie_parser("; ".join(lines))


def new_cookie(*, secure: bool) -> str:
    end = "; Secure" if secure else ""
    return f"{COOKIE}={secrets.token_urlsafe(16)}; Path=/; HttpOnly; SameSite=Lax{end}"
