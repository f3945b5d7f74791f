"""Several finders as one stream, owned by whoever reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from dhtshare.dht.records.streaming import Finder, stream
from dhtshare.dht.simulation import VirtualLoop, run_virtual


def tell(story: Callable[[VirtualLoop], Awaitable[None]]) -> None:
    """Nothing may be left running."""

    async def main(loop: VirtualLoop) -> None:
        await story(loop)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def finder(*finds: tuple[float, int], ended: list[str] | None = None) -> Finder[int]:
    """Finds each of these at its time."""

    async def run(found: Callable[[int], None]) -> None:
        try:
            now = 0.0
            for at, number in finds:
                await asyncio.sleep(at - now)
                now = at
                found(number)
        finally:
            if ended is not None:
                ended.append("ended")

    return run


def test_what_they_find_comes_as_it_is_found() -> None:
    async def story(loop: VirtualLoop) -> None:
        came = [(loop.time(), one) async for one in stream([finder((1, 1), (3, 3)), finder((2, 2), (9, 9))])]
        assert came == [(1, 1), (2, 2), (3, 3), (9, 9)]

    tell(story)


def test_nobody_finding_anything_is_an_end() -> None:
    async def story(_loop: VirtualLoop) -> None:
        assert [one async for one in stream([])] == []
        assert [one async for one in stream([finder(), finder()])] == []

    tell(story)


def test_what_is_found_at_once_waits_for_its_reader() -> None:
    async def story(_loop: VirtualLoop) -> None:
        assert sorted([one async for one in stream([finder((0, 1), (0, 2)), finder((0, 3))])]) == [1, 2, 3]

    tell(story)


def test_who_stops_reading_stops_the_finders() -> None:
    async def story(loop: VirtualLoop) -> None:
        ended: list[str] = []
        finders = [finder((1, 1), (500, 2), ended=ended), finder((600, 3), ended=ended)]
        async with aclosing(stream(finders)) as found:
            async for one in found:
                assert one == 1
                break
        assert ended == ["ended", "ended"]
        assert loop.time() == 1

    tell(story)


def test_a_reader_that_is_cancelled_stops_the_finders() -> None:
    async def story(_loop: VirtualLoop) -> None:
        ended: list[str] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), aclosing(stream([finder((1, 1), (500, 2), ended=ended)])) as found:
                async for _ in found:
                    pass
        assert ended == ["ended"]

    tell(story)


def test_what_one_raises_stops_the_others_and_comes_out_after_what_was_found() -> None:
    async def story(_loop: VirtualLoop) -> None:
        async def fails(_found: Callable[[int], None]) -> None:
            await asyncio.sleep(2)
            raise ValueError("a bug of ours")

        ended: list[str] = []
        came: list[int] = []
        with pytest.raises(ExceptionGroup) as raised:
            async for one in stream([finder((1, 1), (500, 2), ended=ended), fails]):
                came.append(one)
        assert raised.group_contains(ValueError, match="a bug of ours")
        assert (came, ended) == ([1], ["ended"])

    tell(story)
