"""All records that a node keeps in one scope: the one place where times and caps are decided. Pure.

Invariant: nothing is answered past the expiry that its publisher signed, whatever the clock does, and nothing
is accepted that is past or more than 25 h ahead. Times: `now` is monotonic seconds, `wall` the record
clock's Unix seconds; deadlines are monotonic, and `judge` sets them anew when the record clock was corrected.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.entry import Entry, Withdrawal
from dhtshare.dht.records.entry_sets import EntrySets
from dhtshare.dht.records.held import HeldSet, HeldWithdrawal
from dhtshare.dht.records.limits import MAX_AHEAD, Verdict
from dhtshare.dht.records.paging import Page, page
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.provider_sets import ProviderSets
from dhtshare.dht.records.query import Query
from dhtshare.network import Address, Scope


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """For `status`: records by kind; a record under several words counts once."""

    entries: int
    withdrawals: int
    providers: int
    keys: int


class RecordStore:
    """Keeps verified records. Signatures are checked before anything comes here."""

    def __init__(self, network: bytes, scope: Scope, rng: random.Random, budget: Budget | None = None) -> None:
        self.scope = scope
        self.budget = budget or Budget()
        self.entries = EntrySets(network, self.budget)
        self.providers = ProviderSets(scope, self.budget)
        self._rng = rng

    def put_entry(self, entry: Entry, numbers: Sequence[int], tag: bytes, *, now: float, wall: float) -> list[Verdict]:
        """Keep an entry under the words of these numbers; `tag` is the network that stored it."""
        left = _time_left(entry, wall)
        if left is None:
            return [Verdict.EXPIRED] * len(numbers)
        return self.entries.put(entry, numbers, tag, now + left, now)

    def withdraw(self, withdrawal: Withdrawal, keys: Sequence[bytes], *, now: float, wall: float) -> list[Verdict]:
        """Put a withdrawal in the place of what it takes back."""
        left = _time_left(withdrawal, wall)
        if left is None:
            return [Verdict.EXPIRED] * len(keys)
        return self.entries.withdraw(withdrawal, keys, now + left)

    def adopt(
        self, record: Entry | Withdrawal, key: bytes, numbers: Sequence[int], tag: bytes, *, now: float, wall: float
    ) -> Verdict:
        """Keep a record that another holder of `key` has; an entry also under the words of `numbers`."""
        if isinstance(record, Entry):
            return min(self.put_entry(record, numbers, tag, now=now, wall=wall), default=Verdict.UNKNOWN)
        left = _time_left(record, wall)
        return Verdict.EXPIRED if left is None else self.entries.adopt(record, key, tag, now + left, now)

    def put_provider(self, key: bytes, sender: Address, claim: ProviderClaim, *, now: float) -> Verdict:
        """Write down the sender as a provider, for 3 hours."""
        return self.providers.put(key, sender, claim, now)

    def find_providers(self, key: bytes, count: int, *, now: float) -> list[bytes]:
        """A chance sample of the kept provider records of a key."""
        return self.providers.sample(key, now, count, self._rng)

    def find_entries(self, key: bytes, query: Query, cursor: bytes, rooms: Sequence[int], *, now: float) -> Page:
        """One page of the entries under a key that match the query."""
        return page(self.entries.get(key), query, cursor, rooms, now)

    def set_of(self, key: bytes) -> HeldSet:
        """The signed records under a key."""
        return self.entries.get(key)

    def judge(self, *, now: float, wall: float) -> None:
        """The record clock was corrected: when signed records end is counted anew by it.

        Provider records end 3 h after they came, whatever the clock says.
        """
        self.entries.judge(now, wall)

    def elapse(self, seconds: float) -> None:
        """Everything ends so much earlier: the monotonic clock stood still while the machine slept."""
        self.entries.elapse(seconds)
        self.providers.elapse(seconds)

    def expire(self, *, now: float) -> int:
        """Let go what is past. To be called every minute or so; answers never contain it anyway."""
        return self.entries.expire(now) + self.providers.expire(now)

    def counts(self) -> StoreCounts:
        """Walks everything: for `status`, not for every request."""
        withdrawals = sum(isinstance(held, HeldWithdrawal) for held, _ in self.entries.records())
        keys = len(set(self.entries.keys()) | set(self.providers.keys()))
        return StoreCounts(self.entries.size - withdrawals, withdrawals, self.providers.size, keys)


def _time_left(record: Entry | Withdrawal, wall: float) -> float | None:
    left = record.expires - wall
    return left if 0 < left <= MAX_AHEAD else None
