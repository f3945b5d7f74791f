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
        self._guarded: asyncio.Task[Any] | None = None  # the task to cancel

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
        if not self._requested.is_set():
            self._requested.set()
            if self._guarded is not None:
                self._guarded.cancel()

    async def wait(self) -> None:
        """Until somebody wants this to end."""
        await self._requested.wait()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises; when interrupted it is cancelled, winds down, and this raises
        InterruptedByUserError, unless it was done by then all the same.

        Runs in the caller's own task, as asyncio.timeout does: what `work` enters (a task group, say) may be
        left after it.
        """
        task = asyncio.current_task()
        assert task is not None
        assert self._guarded is None
        already = task.cancelling()
        self._guarded = task
        if self._requested.is_set():
            task.cancel()
        try:
            return await work
        except asyncio.CancelledError:
            if self._requested.is_set() and task.cancelling() == already + 1:
                raise InterruptedByUserError(CUT_OFF) from None
            raise
        finally:
            self._guarded = None
            if self._requested.is_set():
                task.uncancel()

    def _on_signal(self) -> None:
        if self._requested.is_set():
            self._at_once()
        self.request()
