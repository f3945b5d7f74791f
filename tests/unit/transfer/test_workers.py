"""Threads give every result back, on the loop, also when there are thousands or somebody is cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dhtshare.transfer.buffers import BLOCKS, Buffers
from dhtshare.transfer.workers import Workers

CHUNK, RUN = BLOCKS


@pytest.fixture
async def workers() -> Workers:
    return Workers("test", 3)


async def test_every_result_comes_back_on_the_loop(workers: Workers) -> None:
    here = threading.get_ident()
    seen: list[int] = []
    done = asyncio.Event()

    def then(result: object, error: BaseException | None) -> None:
        assert threading.get_ident() == here
        assert isinstance(result, int)
        seen.append(result)
        if len(seen) == 5000:
            done.set()

    for number in range(5000):
        workers.submit(lambda number=number: number, then)  # type: ignore[misc]
    async with asyncio.timeout(30):
        await done.wait()
    assert sorted(seen) == list(range(5000))
    workers.stop()


async def test_what_one_result_breaks_keeps_no_other_waiting(workers: Workers) -> None:
    """Without memory for what follows from one chunk, the others that were done with it must still be told."""
    loop, told, seen, done = asyncio.get_running_loop(), list[object](), list[int](), asyncio.Event()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fail() -> None:
        raise MemoryError

    def job() -> None:
        for call in (fail, lambda: seen.append(1), fail, lambda: seen.append(2)):
            workers.post(call, soon=lambda: True)
        workers.post(done.set)

    workers.hand_on(job)
    async with asyncio.timeout(5):
        await done.wait()
    assert seen == [1, 2]
    assert [type(error) for error in told] == [MemoryError, MemoryError]
    workers.stop()


async def test_an_error_is_raised_where_the_result_was_wanted(workers: Workers) -> None:
    def fails() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await workers.call(fails)
    with pytest.raises(OSError, match="disk"):
        await workers.finish(fails)
    assert await workers.call(threading.get_ident) != threading.get_ident()
    workers.stop()


async def test_finish_outlives_a_cancellation(workers: Workers) -> None:
    may_go, began = threading.Event(), threading.Event()
    ended: list[bool] = []

    def slow() -> None:
        began.set()
        may_go.wait(10)
        ended.append(True)

    task = asyncio.create_task(workers.finish(slow))
    await workers.call(lambda: began.wait(10))
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
    workers.stop()


async def test_threads_end_with_their_owner(workers: Workers) -> None:
    await workers.call(lambda: None)
    assert sum(thread.name.startswith("test-") for thread in threading.enumerate()) == 3
    workers.stop()
    assert not any(thread.name.startswith("test-") for thread in threading.enumerate())


def test_promises_are_bounded_and_those_who_wait_hear_of_room() -> None:
    buffers = Buffers(limit=3 * CHUNK)
    called: list[str] = []
    assert buffers.promise(2 * CHUNK)
    assert not buffers.promise(2 * CHUNK)
    buffers.when_free(lambda: called.append("room"))
    buffers.give_back(2 * CHUNK)
    assert called == ["room"]
    assert buffers.promised == 0
    buffers.give_back(0)
    assert called == ["room"]


def test_blocks_are_used_again_and_not_hoarded() -> None:
    buffers = Buffers()
    for size, most in BLOCKS.items():
        first = buffers.take(size)
        buffers.recycle(first)
        assert buffers.take(size - 1) is first
        handed_in = [bytearray(size) for _ in range(3 * most)]
        for block in handed_in:
            buffers.recycle(block)
        again = [buffers.take(size) for _ in handed_in]
        assert sum(any(block is one for one in handed_in) for block in again) == most


def test_a_run_gets_no_chunks_block() -> None:
    buffers = Buffers()
    buffers.recycle(bytearray(CHUNK))
    assert len(buffers.take(CHUNK + 1)) == RUN


def test_a_small_or_a_large_buffer_is_as_long_as_it_must_be() -> None:
    buffers = Buffers()
    assert len(buffers.take(100)) == 100
    assert len(buffers.take(CHUNK // 2)) == CHUNK
    assert len(buffers.take(16 * CHUNK)) == 16 * CHUNK


def refuse_threads(monkeypatch: pytest.MonkeyPatch, given: int) -> None:
    """The system gives so many more and then none, as under `ulimit -u`."""
    left, start = [given], threading.Thread.start

    def start_or_not(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_not)


async def test_fewer_threads_do_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_threads(monkeypatch, 1)
    told: list[BaseException] = []
    workers = Workers("test", 3, lambda error: bool(told.append(error)))
    assert await asyncio.gather(*(workers.call(lambda number=number: number) for number in range(100))) == list(  # type: ignore[misc]
        range(100)
    )
    assert [str(error) for error in told] == ["can't start new thread"]
    workers.stop()


async def test_without_any_thread_whoever_waits_is_told_and_later_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException] = []
    workers = Workers("test", 3, lambda error: bool(told.append(error)))
    with monkeypatch.context() as refusing:
        refuse_threads(refusing, 0)
        for call in (workers.call, workers.finish):
            with pytest.raises(RuntimeError, match="new thread"):
                await call(threading.get_ident)
    assert len(told) == 2
    assert await workers.call(threading.get_ident) != threading.get_ident()
    workers.stop()
