"""Which contents are being offered to holders right now, so that what is taken back can wait for the end of it.

A withdrawal that comes to a holder before the entry takes back nothing, and the entry would stay for a day.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LONGEST_WAIT = 30.0  # seconds; a busy holder may keep a round for minutes


class GoingOut:
    """Noted by content hash; a content may go out several times at once."""

    def __init__(self) -> None:
        self._ends: defaultdict[bytes, set[asyncio.Future[None]]] = defaultdict(set)

    @contextmanager
    def noted(self, content_hashes: Iterable[bytes]) -> Iterator[None]:
        """While inside, these go out."""
        hashes = set(content_hashes)
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for content_hash in hashes:
            self._ends[content_hash].add(end)
        try:
            yield
        finally:
            end.set_result(None)
            for content_hash in hashes:
                self._ends[content_hash].discard(end)
                if not self._ends[content_hash]:
                    del self._ends[content_hash]

    async def ended(self, content_hash: bytes) -> None:
        """Wait until this content goes out nowhere, at most LONGEST_WAIT."""
        ends = self._ends.get(content_hash)
        if ends:
            await asyncio.wait(ends, timeout=LONGEST_WAIT)
