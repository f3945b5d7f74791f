"""Memory that the process has freed and the C library keeps: given back to the system when a crowd has left.

200 TLS guests take 17 MB, most of it in OpenSSL. glibc gives back by itself only what is free at the end of its heap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

CROWD = 32
"""Connections. Of fewer there is little to give back."""

LOOK_SECONDS = 5.0


class Ebb:
    """Notices that most of a crowd has left. Pure."""

    def __init__(self) -> None:
        self._most = 0

    def has_come(self, count: int) -> bool:
        """So many are here: whether it is half of a crowd that was, or less. Said once of each crowd."""
        self._most = max(self._most, count)
        if self._most < CROWD or 2 * count > self._most:
            return False
        self._most = count
        return True


async def keep_slim(connections: Callable[[], int]) -> None:
    """For ever: look how many there are, and give memory back when many have gone."""
    ebb = Ebb()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if ebb.has_come(connections()):
            await asyncio.to_thread(give_back)


def give_back() -> bool:
    """Whether the C library has a way to give back what is free, and gave some. Takes a moment: call it in a thread."""
    import ctypes  # takes a while, and most commands never need it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    return trim is not None and bool(trim(0))
