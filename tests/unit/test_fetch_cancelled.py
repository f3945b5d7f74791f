"""A fetch that is cancelled while a thread still opens what it will write to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.errors import InterruptedByUserError
from dhtshare.fetch import FetchRequest, _Fetch
from dhtshare.library.unfinished import Unfinished

DESCRIPTOR = FileDescriptor(1, bytes(32))


class Opened:
    """What the thread opened."""

    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("notices", [True, False], ids=["the thread notices", "the thread was through"])
async def test_what_it_opens_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: bool) -> None:
    """Else it would stay locked for as long as the node lives."""
    began, opened = threading.Event(), Opened()

    def slowly(*_: object, cancelled: Callable[[], bool], **options: Any) -> Opened:
        began.set()
        while not cancelled():
            pass
        if notices:
            raise InterruptedByUserError("cut off")
        return opened

    monkeypatch.setattr(Unfinished, "open", slowly)
    fetch = _Fetch.__new__(_Fetch)
    fetch._request = FetchRequest(targets=["x"], output=str(tmp_path))
    async with AsyncExitStack() as stack:
        task = asyncio.create_task(fetch._open(stack, DESCRIPTOR, Layout.of(DESCRIPTOR), "name"))
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert opened.closed is not notices


async def test_what_it_opens_though_no_thread_was_given_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python queues the work before it asks for the thread, and does it when another is free."""
    opened, busy, loop = Opened(), threading.Event(), asyncio.get_running_loop()

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Unfinished, "open", lambda *_, **options: opened)
    fetch = _Fetch.__new__(_Fetch)
    fetch._request = FetchRequest(targets=["x"], output=str(tmp_path))
    working = loop.run_in_executor(None, busy.wait)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            async with AsyncExitStack() as stack:
                await fetch._open(stack, DESCRIPTOR, Layout.of(DESCRIPTOR), "name")
    busy.set()
    await working
    await asyncio.to_thread(lambda: None)
    assert opened.closed
