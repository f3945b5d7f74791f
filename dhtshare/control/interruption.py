"""Ctrl-C and SIGTERM: the first is a polite request, the second is obeyed at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from dhtshare.control.server import CUT_OFF
from dhtshare.errors import InterruptedByUserError

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Watches both signals while entered, inside a running loop.

    `at_once` is called on the second signal and should not return: whatever still winds down is left.
    """

    def __init__(self, at_once: Callable[[], object]) -> None:
        self._at_once = at_once
        self._requested = asyncio.Event()

    def __enter__(self) -> Interruption:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def request(self) -> None:
        """Stop politely, as the first signal does."""
        self._requested.set()

    async def wait(self) -> None:
        """Until somebody wants this to end."""
        await self._requested.wait()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises; when interrupted it is cancelled, winds down, and this raises
        InterruptedByUserError, unless it was done by then all the same."""
        task = asyncio.create_task(work)
        waiting = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            task.cancel()
            await asyncio.wait({task, waiting})
        if task.cancelled():
            raise InterruptedByUserError(CUT_OFF)
        return task.result()

    def _on_signal(self) -> None:
        if self._requested.is_set():
            self._at_once()
        self._requested.set()
