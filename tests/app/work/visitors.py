"""Sessions without a browser: each has its own state and address, as a visitor's tab has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner_utils.script_run_context import (
    ScriptRunContext,
    add_script_run_ctx,
)
from streamlit.runtime.state import SafeSessionState, SessionState

T = TypeVar("T")


class Visitor:
    """One session; what it does runs in a thread of its own, as a page's run does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.context = ScriptRunContext(
            session_id=name,
            _enqueue=lambda message: None,
            query_string="",
            session_state=SafeSessionState(SessionState(), lambda: None),
            uploaded_file_mgr=MemoryUploadedFileManager("/upload"),
            main_script_path="",
            user_info={},
            fragment_storage=MemoryFragmentStorage(),
            pages_manager=PagesManager(""),
        )

    def does(self, action: Callable[..., T], *arguments: object, **options: object) -> T:
        """What the action returns, or raises, in this session."""
        found: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            add_script_run_ctx(ctx=self.context)
            try:
                found.append(action(*arguments, **options))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "the action hangs"
        if failed:
            raise failed[0]
        return found[0]
