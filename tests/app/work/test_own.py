"""What a visitor keeps is the same in all tabs and after a reload, and nobody else's."""

from dataclasses import dataclass

import pytest

from app.work.own import COOKIE, NAME, VisitorCookie, Visitors, cookies_of, new_cookie


@dataclass
class Thing:
    size: int = 10


def test_tabs_share_and_others_do_not():
    visitors = Visitors(lambda: 1000)
    first = visitors.own("a", "notebook", Thing)
    assert visitors.own("a", "notebook", Thing) is first
    assert visitors.own("a", "lessons", Thing) is not first
    assert visitors.own("b", "notebook", Thing) is not first


def test_those_who_were_not_here_for_longest_go_first():
    visitors = Visitors(lambda: 25)
    kept = {name: visitors.own(name, "notebook", Thing) for name in "abc"}
    assert visitors.own("b", "notebook", Thing) is kept["b"]
    assert visitors.own("a", "notebook", Thing) is not kept["a"]


def test_one_visitor_is_never_forgotten_for_being_large():
    visitors = Visitors(lambda: 25)
    big = visitors.own("a", "notebook", lambda: Thing(1000))
    assert visitors.own("a", "notebook", Thing) is big


def answered(headers: list[tuple[bytes, bytes]], kind: bytes = b"text/html; charset=utf-8"):
    """The headers of an answer that went through the middleware."""
    sent = []

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "headers": [(b"content-type", kind)]})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "scheme": "http", "headers": headers}
    with pytest.raises(StopIteration):  # it waits for nothing
        VisitorCookie(page)(scope, None, send).send(None)
    return dict(sent[0]["headers"])


def test_a_browser_gets_the_cookie_once_and_with_a_page():
    first = answered([])[b"set-cookie"].decode()
    assert NAME.fullmatch(first.split(";")[0].removeprefix(f"{COOKIE}="))
    assert "HttpOnly" in first
    assert "SameSite=Lax" in first
    assert "Secure" not in first
    given = first.split(";")[0].encode()
    assert b"set-cookie" not in answered([(b"cookie", b"x=1; " + given)])
    assert b"set-cookie" not in answered([], b"application/json")


def test_no_two_browsers_are_alike():
    assert new_cookie(secure=True) != new_cookie(secure=True)
    assert new_cookie(secure=True).endswith("; Secure")
    assert cookies_of({"headers": [(b"cookie", b"a=1; b=2")]}) == {"a": "1", "b": "2"}
