"""When which record is due: first at once, then with jitter long before it expires. Pure.

Provider records live 3 h and are renewed hourly, entries live 24 h and are renewed at 11 h (design.md,
section 5). Due times of entries survive a restart, so that restarting makes no storm; provider records do
not, for a clean shutdown takes them back.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from dhtshare.dht.records.limits import ENTRY_PERIOD, PROVIDER_PERIOD

JITTER = 0.1  # of a period, earlier
RETRY_SECONDS = 60.0  # after an announcement below quorum …
MAX_RETRY_SECONDS = 1800.0  # … and twice as long each time


@dataclass(slots=True)
class Shared:
    """One content that is to be found. Times in Unix seconds; `entry_at` None: it has no words."""

    content_hash: bytes
    words: tuple[str, ...]
    partial: bool
    provider_at: float
    entry_at: float | None
    retry: float = RETRY_SECONDS


class Agenda:
    """What is shared and when its records are due."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shared: dict[bytes, Shared] = {}

    def __len__(self) -> int:
        return len(self._shared)

    def __contains__(self, content_hash: object) -> bool:
        return content_hash in self._shared

    def share(
        self, content_hash: bytes, words: Iterable[str], *, partial: bool, now: float, entry_at: float | None
    ) -> None:
        """Due at once; the entry at `entry_at` where that is known from before a restart."""
        kept = tuple(words)
        at = None if not kept else now if entry_at is None else min(entry_at, now + ENTRY_PERIOD)
        self._shared[content_hash] = Shared(content_hash, kept, partial, now, at)

    def unshare(self, content_hash: bytes) -> Shared | None:
        """Never due again."""
        return self._shared.pop(content_hash, None)

    def all_due(self, now: float, *, entries: bool = True) -> None:
        """Everything is due at once: others joined, or our address changed."""
        for shared in self._shared.values():
            shared.provider_at = now
            if entries and shared.entry_at is not None:
                shared.entry_at = now

    def due(self, now: float) -> tuple[list[Shared], list[Shared]]:
        """Those whose provider record is due, and those whose entry is."""
        items = self._shared.values()
        return (
            [shared for shared in items if shared.provider_at <= now],
            [shared for shared in items if shared.entry_at is not None and shared.entry_at <= now],
        )

    def next_due(self) -> float | None:
        """When something is due; None when nothing is shared."""
        times = [shared.provider_at for shared in self._shared.values()]
        times += [shared.entry_at for shared in self._shared.values() if shared.entry_at is not None]
        return min(times, default=None)

    def announced(self, shared: Shared, now: float, *, provider: bool, entry: bool, quorum: bool) -> None:
        """Records of this content went out; below quorum they go out again soon."""
        shared.retry = RETRY_SECONDS if quorum else min(2 * shared.retry, MAX_RETRY_SECONDS)
        if provider:
            shared.provider_at = now + (self._jittered(PROVIDER_PERIOD) if quorum else shared.retry)
        if entry and shared.entry_at is not None:
            shared.entry_at = now + (self._jittered(ENTRY_PERIOD) if quorum else shared.retry)

    def _jittered(self, period: float) -> float:
        return period * (1 - JITTER * self._rng.random())
