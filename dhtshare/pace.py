"""Progress from worker threads to the event feed, at most four times a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

SECONDS = 0.25


class Paced:
    """Counts work done in any thread and emits `event` on `loop` (the running one), not too often."""

    def __init__(
        self,
        emit: Callable[[dict[str, Any]], None],
        event: str,
        total: int,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        **fields: Any,
    ) -> None:
        self._emit = emit
        self._loop = loop or asyncio.get_running_loop()
        self._fields = {"event": event, **fields}
        self._total = total
        self._done = 0
        self._told_at = time.monotonic()

    def add(self, count: int) -> None:
        """So much more is done. Callable from any thread, one at a time."""
        self._done += count
        now = time.monotonic()
        if now - self._told_at >= SECONDS:
            self._told_at = now
            self._loop.call_soon_threadsafe(self._emit, {**self._fields, "done": self._done, "total": self._total})


def hashing_progress(emit: Callable[[dict[str, Any]], None]) -> Callable[[str, int], Callable[[int], None]]:
    """For an Intake: name and total bytes of a path → what counts its hashed bytes. Call it on the loop."""
    loop = asyncio.get_running_loop()
    return lambda name, total: Paced(emit, "hashing", total, loop=loop, name=name).add
