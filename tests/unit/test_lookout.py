"""What the system refuses is told from every other error, said once a minute, and outlived."""

from __future__ import annotations

import asyncio
import errno
import logging
import tracemalloc

import pytest

from dhtshare import lookout as module
from dhtshare.errors import DiskError
from dhtshare.lookout import RESERVE_BYTES, Lookout
from dhtshare.scarcity import RECENT_SECONDS, SAY_AGAIN_SECONDS, SENTENCES, Resource, Scarcity, resource_refused

NO_DESCRIPTOR = OSError(errno.EMFILE, "Too many open files")
NO_THREAD = RuntimeError("can't start new thread")


def made_of(cause: BaseException) -> DiskError:
    error = DiskError("Cannot read it.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "resource"),
    [
        (NO_DESCRIPTOR, Resource.DESCRIPTORS),
        (OSError(errno.ENFILE, "system"), Resource.DESCRIPTORS),
        (OSError(errno.ENOMEM, "mmap"), Resource.MEMORY),
        (OSError(errno.ENOBUFS, "socket"), Resource.MEMORY),
        (MemoryError(), Resource.MEMORY),
        (NO_THREAD, Resource.THREADS),
        (made_of(NO_DESCRIPTOR), Resource.DESCRIPTORS),
        (ExceptionGroup("works", [ExceptionGroup("inner", [MemoryError()]), NO_THREAD]), Resource.MEMORY),
        (ExceptionGroup("works", [MemoryError(), ValueError()]), None),
        (OSError(errno.ECONNRESET, "gone"), None),
        (OSError("without a number"), None),
        (TimeoutError(), None),
        (RuntimeError("Event loop is closed"), None),
        (made_of(OSError(errno.ENOSPC, "full")), None),
        (None, None),
    ],
    ids=repr,
)
def test_which_errors_are_refusals(error: BaseException | None, resource: Resource | None) -> None:
    assert resource_refused(error) is resource


def test_each_resource_is_said_once_a_minute() -> None:
    scarcity = Scarcity()
    said = [scarcity.met(Resource.DESCRIPTORS, now / 2) for now in range(int(2 * SAY_AGAIN_SECONDS) + 1)]
    assert [sentence for sentence in said if sentence] == [SENTENCES[Resource.DESCRIPTORS]] * 2
    assert scarcity.met(Resource.MEMORY, 1.0) == SENTENCES[Resource.MEMORY]
    assert scarcity.refused[Resource.DESCRIPTORS] == len(said)
    assert scarcity.refused[Resource.THREADS] == 0


def test_a_warning_ends_ten_minutes_after_the_last_refusal() -> None:
    scarcity = Scarcity()
    assert scarcity.warnings(0.0) == []
    scarcity.met(Resource.THREADS, 100.0)
    scarcity.met(Resource.THREADS, 130.0)
    assert scarcity.warnings(130.0 + RECENT_SECONDS - 1) == [SENTENCES[Resource.THREADS]]
    assert scarcity.warnings(130.0 + RECENT_SECONDS) == []


async def test_a_work_that_was_refused_something_begins_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    lookout, errors = Lookout(), [MemoryError(), NO_THREAD, MemoryError()]

    async def work() -> None:
        if errors:
            raise ExceptionGroup("works", [errors.pop()])

    with caplog.at_level(logging.WARNING):
        await lookout.keep_up(work)
    assert lookout.report() == {"descriptors": 0, "memory": 2, "threads": 1}
    assert [record.getMessage() for record in caplog.records] == [
        SENTENCES[Resource.MEMORY],
        SENTENCES[Resource.THREADS],
    ]
    assert lookout.warnings() == [SENTENCES[Resource.MEMORY], SENTENCES[Resource.THREADS]]


async def test_a_reserve_of_memory_is_given_up_when_there_is_none_and_kept_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracemalloc.start()
    try:
        lookout = Lookout()
        before = tracemalloc.get_traced_memory()[0]
        lookout.refused(NO_THREAD)
        assert before - tracemalloc.get_traced_memory()[0] < RESERVE_BYTES // 2
        lookout.refused(MemoryError())
        assert before - tracemalloc.get_traced_memory()[0] > RESERVE_BYTES // 2
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
        monkeypatch.setattr(lookout, "warnings", list)
        restocking = asyncio.create_task(lookout.restock())
        await asyncio.sleep(0.01)
        assert before - tracemalloc.get_traced_memory()[0] < RESERVE_BYTES // 2
        restocking.cancel()
    finally:
        tracemalloc.stop()


async def test_any_other_error_ends_a_work() -> None:
    async def work() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await Lookout().keep_up(work)


async def test_what_nobody_awaits_is_counted_or_told_as_before() -> None:
    loop, told = asyncio.get_running_loop(), list[object]()
    loop.default_exception_handler = told.append  # type: ignore[method-assign]
    lookout = Lookout()
    with lookout.on_loop():
        loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": NO_DESCRIPTOR})
        loop.call_exception_handler({"message": "a bug", "exception": ValueError()})
        loop.call_exception_handler({"message": "no error at all"})
    assert lookout.report()["descriptors"] == 1
    assert len(told) == 2
    assert loop.get_exception_handler() is None
