"""Who says that it holds what: provider records by content key, within caps. Pure.

Invariants: a key holds at most one record of each UDP address, and at most the cap; a refused record leaves
everything as it was; `_aged` names each record once, the networks apart, of each the oldest first.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dhtshare.content.keys import KEY_BYTES
from dhtshare.dht.records.budget import Budget, Candidate
from dhtshare.dht.records.by_age import ByAge, age_key
from dhtshare.dht.records.limits import (
    MAX_PROVIDERS_PER_ADDRESS,
    PROVIDER_BYTES,
    PROVIDER_TTL,
    Verdict,
)
from dhtshare.dht.records.provider import (
    DEADLINE_BYTES,
    SOURCE_BYTES,
    ProviderClaim,
    deadline_of,
    keep,
    kept,
    source_of,
    tag_of,
    with_deadline,
)
from dhtshare.network import LOWEST_GLOBAL_PORT, Address, Scope

_IP_BYTES = 16


class ProviderSets:
    """All provider records of one scope. Times are monotonic seconds."""

    def __init__(self, scope: Scope, budget: Budget) -> None:
        self._scope = scope
        self._budget = budget
        self._limit = budget.limits.providers_per_key
        self._sets: dict[bytes, bytes] = {}
        self._aged: ByAge[bytes] = ByAge()
        budget.join(self)

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self._aged)

    def keys(self) -> Iterable[bytes]:
        """Every key with a record."""
        return self._sets.keys()

    def records(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Every key with its kept records, as things stand: may be read in another thread while they change."""
        return ((key, list(kept(raw))) for key, raw in self._sets.copy().items())

    def put(self, key: bytes, sender: Address, claim: ProviderClaim, now: float) -> Verdict:
        """Write down what the sender claims, for 3 hours from now."""
        if self._scope is not Scope.LAN and claim.port < LOWEST_GLOBAL_PORT:
            return Verdict.FORGED
        source = source_of(sender)
        return self.restore(key, keep(source, claim, now + PROVIDER_TTL), now)

    def restore(self, key: bytes, record: bytes, now: float) -> Verdict:
        """Put a kept record back, e.g. from before a restart."""
        if deadline_of(record) <= now:
            return Verdict.EXPIRED
        if not self._budget.make_room(1, PROVIDER_BYTES):
            return Verdict.FULL
        source = record[:SOURCE_BYTES]
        held = list(kept(self._sets.get(key, b"")))
        others = [one for one in held if not one.startswith(source)]
        if not self._has_place(others) or self._is_crowd(others, source):
            others = [one for one in others if deadline_of(one) > now]
            if self._is_crowd(others, source) or not (self._has_place(others) or self._displace(others, source)):
                return Verdict.FULL
        self._keep(key, held, [*others, record])
        return Verdict.STORED

    def live(self, key: bytes, now: float) -> list[bytes]:
        """The kept records of a key that are not past."""
        return [one for one in kept(self._sets.get(key, b"")) if deadline_of(one) > now]

    def sample(self, key: bytes, now: float, count: int, rng: random.Random) -> list[bytes]:
        """At most `count` of them, chosen by chance, so that no provider hides behind others for ever."""
        live = self.live(key, now)
        return live if len(live) <= count else rng.sample(live, count)

    def has(self, key: bytes, sender: Address, now: float) -> bool:
        """Whether this address stands under that key."""
        source = source_of(sender)
        return any(one.startswith(source) for one in self.live(key, now))

    def gone(self, sender: Address, keys: Sequence[bytes] | None) -> int:
        """The sender holds the contents of these keys, or anything at all, no longer. The number that went."""
        source = source_of(sender)
        if keys is None:
            at = slice(-KEY_BYTES - SOURCE_BYTES, -KEY_BYTES)
            keys = [named[-KEY_BYTES:] for named in self._aged.of(tag_of(source, self._scope)) if named[at] == source]
        return sum(self._remove(key, source) for key in keys)

    def elapse(self, seconds: float) -> None:
        """Each record ends so much earlier."""
        for key, raw in self._sets.items():
            self._sets[key] = b"".join(
                with_deadline(one[:-DEADLINE_BYTES], deadline_of(one) - seconds) for one in kept(raw)
            )
        self._aged = ByAge(self._named(key, one) for key, raw in self._sets.items() for one in kept(raw))

    def expire(self, now: float) -> int:
        """Let go what is past its deadline. The number that went."""
        past = self._aged.past(lambda named: _ends(named) <= now)
        return sum(self._remove(*_key_and_source(named)) for named in past)

    def oldest(self, tag: bytes) -> Candidate | None:
        """The oldest record of this network, for the budget."""
        named = self._aged.oldest(tag)
        return None if named is None else Candidate(_ends(named) - PROVIDER_TTL, named)

    def evict(self, reference: bytes) -> None:
        """Let a record go."""
        self._remove(*_key_and_source(reference))

    def _named(self, key: bytes, record: bytes) -> bytes:
        """All that finds a record again, as it is sorted: network and deadline | source | key."""
        return age_key(tag_of(record, self._scope), record[-DEADLINE_BYTES:], record[:SOURCE_BYTES] + key)

    def _has_place(self, others: list[bytes]) -> bool:
        return len(others) < self._limit

    def _is_crowd(self, others: list[bytes], source: bytes) -> bool:
        """Whether one machine stands there as often as it may."""
        if self._scope is Scope.LAN:
            return False
        ip = source[:_IP_BYTES]
        return sum(one.startswith(ip) for one in others) >= MAX_PROVIDERS_PER_ADDRESS

    def _displace(self, others: list[bytes], source: bytes) -> bool:
        """Make room in a full key for a network by the oldest record of the one with most."""
        counts = Counter(tag_of(one, self._scope) for one in others)
        heaviest, count = max(counts.items(), key=lambda item: (item[1], item[0]))
        if counts[tag_of(source, self._scope)] + 1 >= count:
            return False
        others.remove(min((one for one in others if tag_of(one, self._scope) == heaviest), key=deadline_of))
        return True

    def _remove(self, key: bytes, source: bytes) -> int:
        held = list(kept(self._sets.get(key, b"")))
        others = [one for one in held if not one.startswith(source)]
        self._keep(key, held, others)
        return len(held) - len(others)

    def _keep(self, key: bytes, before: Sequence[bytes], after: Sequence[bytes]) -> None:
        """Under this key stood those records; now stand these."""
        if after:
            self._sets[key] = b"".join(after)
        else:
            self._sets.pop(key, None)
        for one in set(before).difference(after):
            self._aged.remove(self._named(key, one))
            self._budget.charge(tag_of(one, self._scope), -1, -PROVIDER_BYTES)
        for one in set(after).difference(before):
            self._aged.add(self._named(key, one))
            self._budget.charge(tag_of(one, self._scope), 1, PROVIDER_BYTES)


def _key_and_source(named: bytes) -> tuple[bytes, bytes]:
    return named[-KEY_BYTES:], named[-KEY_BYTES - SOURCE_BYTES : -KEY_BYTES]


def _ends(named: bytes) -> int:
    return deadline_of(named[: -KEY_BYTES - SOURCE_BYTES])
