"""Several coroutines as one stream of what they find, owned by whoever reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

Finder = Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]
"""A coroutine function that hands what it finds to the function that it is given."""


async def stream(finders: Iterable[Finder[T]]) -> AsyncGenerator[T, None]:
    """What they find, as it comes; ends when all have ended. Closing the stream cancels them.

    What one of them raises cancels the others and comes out here.
    """
    queue: asyncio.Queue[T | None] = asyncio.Queue()

    async def supervise() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for finder in finders:
                    group.create_task(finder(queue.put_nowait))
        finally:
            queue.put_nowait(None)

    task = asyncio.create_task(supervise(), name="search")
    try:
        while (item := await queue.get()) is not None:
            yield item
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
