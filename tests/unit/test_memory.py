"""Memory is given back when a crowd has left, and not for every connection that ends."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from pathlib import Path

import pytest

from dhtshare import memory as module
from dhtshare.memory import CROWD, Ebb, give_back, keep_slim


def test_the_end_of_a_crowd_is_told_once() -> None:
    ebb = Ebb()
    counts = [0, CROWD, CROWD // 2 + 1, CROWD // 2, CROWD // 2, 0, 2 * CROWD, CROWD, 0]
    assert [ebb.has_come(count) for count in counts] == [False, False, False, True, False, False, False, True, True]


def test_a_few_that_come_and_go_are_no_crowd() -> None:
    ebb = Ebb()
    assert not any(ebb.has_come(count) for count in [*range(CROWD), 0] * 3)


async def test_it_looks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    counts, gave = iter([200, 200, 10, 10]), asyncio.Event()
    monkeypatch.setattr(module, "give_back", gave.set)
    work = asyncio.create_task(keep_slim(lambda: next(counts, 0)))
    async with asyncio.timeout(10):
        await gave.wait()
    work.cancel()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_what_is_free_between_what_is_used_goes_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
    malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [malloc(40_000) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 40_000)
    for block in blocks[:-1]:  # the last one holds the end of the heap
        free(block)
    before = resident()
    assert give_back()
    assert before - resident() > 20_000_000
    free(blocks[-1])


def test_a_system_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: sys)
    assert not give_back()
