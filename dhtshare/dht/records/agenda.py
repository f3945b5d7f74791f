"""When which record is due: first at once, then with jitter long before it expires. Pure.

Provider records live 3 h and are renewed hourly, entries live 24 h and are renewed at 11 h (design.md,
section 5). What is due soon anyway goes out together with what is due now, so that a library that was
published together is renewed together, by regions, and not key by key. Due times of entries survive a
restart, so that restarting makes no storm; provider records do not, for a clean shutdown takes them back.

Times are monotonic seconds: a clock that is set makes nothing due. They stand still while a machine sleeps, and
records do not live longer for that: `elapsed` says how long it was.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from dhtshare.dht.records.limits import ENTRY_PERIOD, PROVIDER_PERIOD
from dhtshare.dht.records.receipts import NOT_SEEN, Seen

JITTER = 0.1  # of a period, earlier
TOGETHER = 0.1  # of a period: what is due within this goes out with what is due now
RETRY_SECONDS = 60.0  # after an announcement below quorum …
MAX_RETRY_SECONDS = 1800.0  # … and twice as long each time

UNDER_WAY = math.inf


@dataclass(slots=True, eq=False)
class Shared:
    """One content that is to be found. `entry_at` None: it has no words. UNDER_WAY: going out right now.

    `provider_seen`, `entry_seen`: what was read back of its records. `entered`: its entry went out in this life, maybe
    to nobody; else what holds it is of an earlier one. `dropped`: words that it was shared under before, and that an
    entry may still stand under.
    """

    content_hash: bytes
    words: tuple[str, ...]
    partial: bool
    provider_at: float
    entry_at: float | None
    retry: float = RETRY_SECONDS
    provider_seen: Seen = NOT_SEEN
    entry_seen: Seen = NOT_SEEN
    entered: bool = False
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """What goes out now: contents whose provider record is due, and those whose entry is."""

    providers: tuple[Shared, ...]
    entries: tuple[Shared, ...]

    def __bool__(self) -> bool:
        return bool(self.providers or self.entries)


class Agenda:
    """What is shared and when its records are due."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shared: dict[bytes, Shared] = {}

    def __len__(self) -> int:
        return len(self._shared)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, content_hash: object) -> bool:
        return content_hash in self._shared

    def is_current(self, shared: Shared) -> bool:
        """Whether it is still shared so, not otherwise since, nor no more."""
        return self._shared.get(shared.content_hash) is shared

    def still_shared(self, due: Due) -> Due:
        """What of it is shared as it was when it was taken."""
        return Due(tuple(filter(self.is_current, due.providers)), tuple(filter(self.is_current, due.entries)))

    def share(
        self, content_hash: bytes, words: Iterable[str], *, partial: bool, now: float, entry_at: float | None
    ) -> None:
        """Due at once; the entry at `entry_at` where that is known from before a restart."""
        kept = tuple(words)
        at = None if not kept else now if entry_at is None else min(entry_at, now + ENTRY_PERIOD)
        before = self._shared.get(content_hash)
        earlier = (*before.words, *before.dropped) if before is not None else ()
        dropped = tuple(word for word in dict.fromkeys(earlier) if word not in kept)
        self._shared[content_hash] = Shared(content_hash, kept, partial, now, at, dropped=dropped)

    def unshare(self, content_hash: bytes) -> Shared | None:
        """Never due again."""
        return self._shared.pop(content_hash, None)

    def all_due(self, now: float, *, entries: bool = True) -> None:
        """Everything is due at once: others joined, or our address changed. Of entries those of this life alone."""
        for shared in self._shared.values():
            shared.provider_at = now
            if entries and shared.entered and shared.entry_at is not None:
                shared.entry_at = now

    def elapsed(self, seconds: float) -> None:
        """So much time has passed that the clock knows nothing of."""
        for shared in self._shared.values():
            shared.provider_at -= seconds
            if shared.entry_at is not None:
                shared.entry_at -= seconds

    def entries_due(self, now: float) -> None:
        """Every entry that is not under way is due at once: it is not known any more when they were to be."""
        for shared in self._shared.values():
            if shared.entry_at is not None and shared.entry_at != UNDER_WAY:
                shared.entry_at = now

    def take_due(self, now: float) -> Due:
        """What is due, and with it what will be soon; under way from now on, until `announced`."""
        items = self._shared.values()
        next_due = self.next_due()
        if next_due is None or next_due > now:
            return Due((), ())
        soon, later = now + TOGETHER * PROVIDER_PERIOD, now + TOGETHER * ENTRY_PERIOD
        providers = tuple(shared for shared in items if shared.provider_at <= soon)
        entries = tuple(shared for shared in items if shared.entry_at is not None and shared.entry_at <= later)
        for shared in providers:
            shared.provider_at = UNDER_WAY
        for shared in entries:
            shared.entry_at = UNDER_WAY
            shared.entered = True
        return Due(providers, entries)

    def interrupted(self, now: float) -> None:
        """What was under way did not come to its end: it is due again."""
        for shared in self._shared.values():
            if shared.provider_at == UNDER_WAY:
                shared.provider_at = now
            if shared.entry_at == UNDER_WAY:
                shared.entry_at = now

    def next_due(self) -> float | None:
        """When something is due; None when nothing is shared."""
        times = (
            at for shared in self._shared.values() for at in (shared.provider_at, shared.entry_at) if at is not None
        )
        return min(times, default=None)

    def announced(self, shared: Shared, now: float, *, provider: bool, entry: bool, quorum: bool) -> None:
        """Records of this content went out; below quorum they go out again soon.

        What became due while they were under way stays due.
        """
        if provider and shared.provider_at == UNDER_WAY:
            shared.provider_at = now + (self._jittered(PROVIDER_PERIOD) if quorum else shared.retry)
        if entry and shared.entry_at == UNDER_WAY:
            shared.entry_at = now + (self._jittered(ENTRY_PERIOD) if quorum else shared.retry)
        shared.retry = RETRY_SECONDS if quorum else min(2 * shared.retry, MAX_RETRY_SECONDS)

    def _jittered(self, period: float) -> float:
        return period * (1 - JITTER * self._rng.random())
