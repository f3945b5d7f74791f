"""A node's lookout for what the system refuses it: says so, and lets whatever failed of it begin again.

Decides nothing about what is scarce: see `scarcity`. Hides no other error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dhtshare.scarcity import Resource, Scarcity, resource_refused

log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0

RESERVE_BYTES = 2 << 20
"""Kept for when the system refuses memory. Two of Python's arenas: what a `status` and its connection need, so that a
node which has nothing left can still be asked what is wrong. Never touched, so it takes address space and no memory."""


class Lookout:
    """What was refused so far; one warning on the log a minute and resource. Safe from any thread but for counts."""

    def __init__(self) -> None:
        self.scarcity = Scarcity()
        self._reserve: bytearray | None = bytearray(RESERVE_BYTES)

    def refused(self, error: BaseException) -> bool:
        """Whether this error is the system's refusal of a resource; if so it is counted, and said now and then."""
        resource = resource_refused(error)
        if resource is None:
            return False
        if resource is Resource.MEMORY:
            self._reserve = None
        sentence = self.scarcity.met(resource, time.monotonic())
        if sentence is not None:
            log.warning("%s", sentence)
        return True

    def report(self) -> dict[str, int]:
        """How often each resource was refused."""
        return {resource.value: count for resource, count in self.scarcity.refused.items()}

    def warnings(self) -> list[str]:
        """Sentences for `status`."""
        return self.scarcity.warnings(time.monotonic())

    async def restock(self) -> None:
        """For ever: keep a reserve of memory, once more when there is some again."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            if self._reserve is None and not self.warnings():
                with suppress(MemoryError):
                    self._reserve = bytearray(RESERVE_BYTES)

    async def keep_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """`work`, which goes on for ever; begun again where a resource was refused it. Raises its other errors."""
        while True:
            try:
                await work()
                return
            except Exception as error:  # a refusal may come out of anything, also in a group
                if not self.refused(error):
                    raise
            await asyncio.sleep(AGAIN_SECONDS)

    @contextmanager
    def on_loop(self) -> Iterator[None]:
        """Errors that nobody awaits: of the loop's own accepting, of callbacks and tasks. Others go their usual way."""
        loop = asyncio.get_running_loop()

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if not (isinstance(error, BaseException) and self.refused(error)):
                loop.default_exception_handler(context)

        before = loop.get_exception_handler()
        loop.set_exception_handler(handle)
        try:
            yield
        finally:
            loop.set_exception_handler(before)
