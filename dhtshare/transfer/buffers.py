"""The memory that unverified bytes may take, and the buffers that are used again and again.

Never more than `limit` bytes are promised at a time, over all fetches of a process; what was promised is real
memory only once the first byte comes in.
"""

from __future__ import annotations

from collections.abc import Callable

UNVERIFIED_BYTES = 48 << 20
BLOCKS = {1 << 20: 8, 4 << 20: 4}
"""Sizes of buffers that are used again, and how many of each are kept: for chunks of up to 64 GiB, and up to 256.

The one that was used last is used next: much of it is still in the processor's cache."""

SMALL_BYTES = 64 << 10


class Buffers:
    """Promises and blocks. Invariant: 0 ≤ promised ≤ limit."""

    def __init__(self, limit: int = UNVERIFIED_BYTES) -> None:
        self.limit = limit
        self.promised = 0
        self._blocks: dict[int, list[bytearray]] = {size: [] for size in BLOCKS}
        self._waiting: list[Callable[[], None]] = []

    def promise(self, count: int) -> bool:
        """Reserve `count` bytes for a request about to be sent; False if there is no room."""
        if self.promised + count > self.limit:
            return False
        self.promised += count
        return True

    def give_back(self, count: int) -> None:
        """A promise has ended: its bytes were stored, or will not come."""
        self.promised -= count
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def when_free(self, call: Callable[[], None]) -> None:
        """Call once when a promise ends; for those that found no room."""
        self._waiting.append(call)

    def take(self, count: int) -> bytearray:
        """A buffer of at least `count` bytes with any content; those of up to the largest block are used again.

        May be called in any thread, as `recycle`.
        """
        for size, blocks in self._blocks.items():
            if count <= size:
                try:
                    return blocks.pop()
                except IndexError:
                    return bytearray(size if count > SMALL_BYTES else count)
        return bytearray(count)

    def recycle(self, buffer: bytearray) -> None:
        """The buffer is not used any more."""
        blocks = self._blocks.get(len(buffer))
        if blocks is not None and len(blocks) < BLOCKS[len(buffer)]:
            blocks.append(buffer)
