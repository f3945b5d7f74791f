"""Threads that the system gives, and those that it does not."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError
from typing import NoReturn

import pytest

from dhtshare.threads import Threads


def refuse(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def start(_: threading.Thread) -> NoReturn:
        raise error

    monkeypatch.setattr(threading.Thread, "start", start)


NO_THREAD = RuntimeError("can't start new thread")


def test_a_thread_does_it() -> None:
    with Threads(2, "test") as threads:
        assert threads.submit(divmod, 7, 2).result(10) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            threads.submit(divmod, 7, 0).result(10)


@pytest.mark.parametrize("error", [NO_THREAD, MemoryError()], ids=["thread", "memory"])
def test_with_no_thread_at_all_it_is_never_done(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    done: list[int] = []
    refused: list[BaseException] = []
    with Threads(2, "test", refused.append) as threads:
        with monkeypatch.context() as patch:
            refuse(patch, error)
            with pytest.raises(type(error)):
                threads.submit(done.append, 1)
        threads.submit(done.append, 2).result(10)
    assert done == [2], "whoever asked was told that it is not done"
    assert not refused, "whoever asked says so"


def test_a_thread_that_is_there_does_what_another_was_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, refused = threading.Event(), list[BaseException]()
    with Threads(2, "test", refused.append) as threads:
        threads.submit(int).result(10)
        first = threads.submit(busy.wait, 10)
        refuse(monkeypatch, NO_THREAD)
        try:
            second = threads.submit(int, "7")
            third = threads.submit(int, "8")
            assert third.cancel()
        finally:
            busy.set()
        assert second.result(10) == 7
        assert first.result(10)
        with pytest.raises(CancelledError):
            third.result(10)
    assert refused, "it is known and said that there are fewer"


def test_without_memory_it_is_either_done_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, done = threading.Event(), list[int]()
    with Threads(2, "test") as threads:
        threads.submit(int).result(10)
        first = threads.submit(busy.wait, 10)
        with monkeypatch.context() as patch:
            refuse(patch, MemoryError())
            with pytest.raises(MemoryError):
                threads.submit(done.append, 1)
        busy.set()
        assert first.result(10)
    assert not done


def test_after_its_end_it_takes_no_work() -> None:
    threads = Threads(2, "test")
    threads.submit(int).result(10)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        threads.submit(int)


def test_an_error_does_not_keep_what_it_was_about() -> None:
    class Thing:
        pass

    def fail(_: Thing) -> NoReturn:
        raise ValueError

    thing = Thing()
    alive = weakref.ref(thing)
    gc.disable()
    try:
        with Threads(1, "test") as threads:
            future = threads.submit(fail, thing)
            assert isinstance(future.exception(10), ValueError)
        del thing, future
        assert alive() is None
    finally:
        gc.enable()
