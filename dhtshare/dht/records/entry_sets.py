"""Who holds which entries under which words: sets with caps, sequence numbers and withdrawals. Pure.

Invariants: in each set a place (content, publisher) is filled at most once; a record is listed only under
keys of words that it carries, a withdrawal only where an entry was; of two records of one place the higher
sequence number stands, and of equal ones the withdrawal; `_aged` has each record once, the networks apart, of
each the first to expire first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from dhtshare.content.keywords import keyword_key
from dhtshare.dht.records.budget import Budget, Candidate
from dhtshare.dht.records.by_age import ByAge, age_key
from dhtshare.dht.records.entry import Entry, Withdrawal, reread
from dhtshare.dht.records.held import (
    Held,
    HeldSet,
    HeldWithdrawal,
    deadline_by,
    in_order,
    member,
    with_member,
    without_member,
)
from dhtshare.dht.records.limits import ENTRY_OVERHEAD, ENTRY_TTL, KEY_OVERHEAD, Verdict
from dhtshare.dht.records.signed import expiry_of, place_of, publisher_of, sequence_of

_EMPTY: HeldSet = ()


class EntrySets:
    """All signed records of one scope. Times are monotonic seconds."""

    def __init__(self, network: bytes, budget: Budget) -> None:
        self._network = network
        self._budget = budget
        self._limits = budget.limits
        self._sets: dict[bytes, HeldSet] = {}
        self._aged: ByAge[Held] = ByAge(key=_age)
        self.version = 0  # grows when a key appears or goes
        budget.join(self)

    def __contains__(self, key: bytes) -> bool:
        return key in self._sets

    def get(self, key: bytes) -> HeldSet:
        """The set of a key, expired records included until the next `expire`."""
        return self._sets.get(key, _EMPTY)

    @property
    def size(self) -> int:
        """How many records there are, each counted once."""
        return len(self._aged)

    def keys(self) -> Iterable[bytes]:
        """Every key with a set."""
        return self._sets.keys()

    def records(self) -> Iterator[tuple[Held, list[bytes]]]:
        """Each record once, with its keys, as things stand: may be read in another thread while they change."""
        listed: dict[int, tuple[Held, list[bytes]]] = {}
        for key, members in self._sets.copy().items():
            for held in members:
                listed.setdefault(id(held), (held, []))[1].append(key)
        return iter(listed.values())

    def restore(self, records: Iterable[tuple[Held, Sequence[bytes]]]) -> None:
        """Fill an empty store with records that another one gave by `records`, as far as the caps allow.

        Nothing is looked up or compared, so this is much quicker than putting each.
        """
        assert not self._sets
        sets: defaultdict[bytes, list[Held]] = defaultdict(list)
        restored = []
        for held, keys in records:
            cost = len(held.raw) + ENTRY_OVERHEAD + KEY_OVERHEAD * (len(keys) - 1)
            if not keys or not self._budget.has_room(1, cost):
                continue
            held.keys = len(keys)
            held.tag = self._budget.shared(held.tag)
            if isinstance(held, HeldWithdrawal):
                held.under = tuple(keys)
            self._budget.charge(held.tag, 1, cost)
            restored.append(held)
            for key in keys:
                sets[key].append(held)
        self._sets = {key: in_order(members) for key, members in sets.items()}
        self._aged = ByAge(restored, key=_age)
        self.version += 1

    def put(self, entry: Entry, numbers: Sequence[int], tag: bytes, deadline: float, now: float) -> list[Verdict]:
        """Store a verified entry under the words of these numbers; one verdict each."""
        cost = len(entry.raw) + ENTRY_OVERHEAD + KEY_OVERHEAD * len(numbers)
        if not self._budget.make_room(1, cost):
            return [Verdict.FULL] * len(numbers)
        keys = [keyword_key(self._network, word) for word in entry.words]
        place = place_of(entry.raw)
        before = {key: held for key in keys if (held := member(self.get(key), place)) is not None}
        newest = max(before.values(), key=_seniority, default=None)
        fresh = Held(entry.raw, tag, deadline)
        if newest is not None:
            if newest.raw == entry.raw:
                fresh = newest
            elif _seniority(newest) >= _seniority(fresh):
                return [Verdict.STALE] * len(numbers)
        for key, old in before.items():
            self._swap(key, old, fresh)
        for old in before.values():  # only now: one old record stands under several of these keys
            if old is not fresh and not isinstance(old, HeldWithdrawal):
                self._drop_everywhere(old)  # words that the publisher has taken away
        verdicts = []
        for number in numbers:
            verdict = self._admit(keys[number], fresh, now)
            if verdict is Verdict.STORED:
                self._attach(keys[number], fresh)
            verdicts.append(verdict)
        return verdicts

    def withdraw(self, withdrawal: Withdrawal, keys: Sequence[bytes], deadline: float) -> list[Verdict]:
        """Put a verified withdrawal where the publisher's entry for that content is held; one verdict a key."""
        # What it replaces may stay under other keys: an older withdrawal does.
        if not self._budget.make_room(1, len(withdrawal.raw) + ENTRY_OVERHEAD + KEY_OVERHEAD * (len(keys) - 1)):
            return [Verdict.FULL] * len(keys)
        place = place_of(withdrawal.raw)
        tombstone = HeldWithdrawal(withdrawal.raw, b"", deadline)
        verdicts = []
        for key in keys:
            old = member(self.get(key), place)
            if old is None:
                verdicts.append(Verdict.UNKNOWN)
            elif old.raw == withdrawal.raw:
                verdicts.append(Verdict.STORED)
            elif _seniority(old) >= _seniority(tombstone):
                verdicts.append(Verdict.STALE)
            else:
                if not tombstone.keys:
                    tombstone.tag = old.tag
                for listed in self._keys_of(old) or [key]:
                    self._swap(listed, old, tombstone)
                verdicts.append(Verdict.STORED)
        return verdicts

    def adopt(self, withdrawal: Withdrawal, key: bytes, tag: bytes, deadline: float, now: float) -> Verdict:
        """Keep a verified withdrawal that another holder has, though the entry never was here."""
        verdict = self.withdraw(withdrawal, [key], deadline)[0]
        if verdict is not Verdict.UNKNOWN:
            return verdict
        tombstone = HeldWithdrawal(withdrawal.raw, tag, deadline)
        if not self._budget.make_room(1, len(withdrawal.raw) + ENTRY_OVERHEAD):
            return Verdict.FULL
        verdict = self._admit(key, tombstone, now)
        if verdict is Verdict.STORED:
            self._attach(key, tombstone)
        return verdict

    def judge(self, now: float, wall: float) -> None:
        """Count anew when each record ends, at most MAX_AHEAD from now. `wall`: the record clock's Unix seconds."""
        for members in self._sets.values():
            for held in members:
                held.deadline = deadline_by(held.raw, now, wall)

    def elapse(self, seconds: float) -> None:
        """Each record ends so much earlier."""
        for held, _ in self.records():
            held.deadline -= seconds

    def expire(self, now: float) -> int:
        """Let go what is past its deadline. The number of records that went."""
        past = self._aged.past(lambda held: held.deadline <= now)
        for held in past:
            self.evict(held)
        return len(past)

    def oldest(self, tag: bytes) -> Candidate | None:
        """The first record of this network to expire, for the budget; about when it was signed."""
        held = self._aged.oldest(tag)
        return None if held is None else Candidate(held.deadline - ENTRY_TTL, held)

    def evict(self, reference: Held) -> None:
        """Let a record go, under all its keys."""
        for key in reference.under if isinstance(reference, HeldWithdrawal) else self._keys_of(reference):
            self._detach(key, reference)

    # ---- one set -------------------------------------------------------------------------------

    def _admit(self, key: bytes, held: Held, now: float) -> Verdict:
        """Whether a record may stand under a key; what is past, or too much of one network, leaves for it."""
        members = self.get(key)
        if member(members, place_of(held.raw)) is held:
            return Verdict.STORED
        if self._is_full(members, held):
            for other in members:
                if other.deadline <= now:
                    self.evict(other)
            members = self.get(key)
        if self._is_crowd(members, held):
            return Verdict.FULL
        if len(members) >= self._limits.entries_per_key:
            return self._displace(key, members, held.tag)
        return Verdict.STORED

    def _is_full(self, members: HeldSet, held: Held) -> bool:
        return len(members) >= self._limits.entries_per_key or self._is_crowd(members, held)

    def _is_crowd(self, members: HeldSet, held: Held) -> bool:
        """Whether the publisher of this record has as many there as one may have."""
        most = self._limits.of_publisher_per_key
        if len(members) < most:
            return False
        publisher = publisher_of(held.raw)
        return sum(publisher_of(other.raw) == publisher for other in members) >= most

    def _displace(self, key: bytes, members: HeldSet, tag: bytes) -> Verdict:
        """A full set takes a network's entry in exchange for the oldest of the one with most entries."""
        counts = Counter(other.tag for other in members)
        heaviest, count = max(counts.items(), key=lambda item: (item[1], item[0]))
        if counts[tag] + 1 >= count:
            return Verdict.FULL
        self._detach(key, min((one for one in members if one.tag == heaviest), key=lambda one: one.deadline))
        return Verdict.STORED

    def _keys_of(self, held: Held) -> list[bytes]:
        """The keys that list it; known of entries only, a withdrawal has forgotten its words."""
        if isinstance(held, HeldWithdrawal):
            return []
        listed: list[bytes] = []
        for word in cast(Entry, reread(held.raw)).words:
            if len(listed) == held.keys:
                break
            key = keyword_key(self._network, word)
            if member(self.get(key), place_of(held.raw)) is held:
                listed.append(key)
        return listed

    def _drop_everywhere(self, held: Held) -> None:
        if held.keys:
            for key in self._keys_of(held):
                self._detach(key, held)

    def _swap(self, key: bytes, old: Held, fresh: Held) -> None:
        if old is not fresh:
            self._detach(key, old)
            self._attach(key, fresh)

    def _attach(self, key: bytes, held: Held) -> None:
        members = self.get(key)
        if member(members, place_of(held.raw)) is held:
            return
        self.version += not members
        self._sets[key] = with_member(members, held)
        if isinstance(held, HeldWithdrawal):
            held.under = (*held.under, key)
        if not held.keys:
            held.tag = self._budget.shared(held.tag)
            self._aged.add(held)
        self._charge(held, 1)

    def _detach(self, key: bytes, held: Held) -> None:
        members = without_member(self._sets[key], held)
        self._keep(key, members)
        if isinstance(held, HeldWithdrawal):
            held.under = tuple(other for other in held.under if other != key)
        self._charge(held, -1)
        if not held.keys:
            self._aged.remove(held)

    def _keep(self, key: bytes, members: HeldSet) -> None:
        if members:
            self._sets[key] = members
        else:
            del self._sets[key]
            self.version += 1

    def _charge(self, held: Held, step: int) -> None:
        cost = _cost(held)
        held.keys += step
        self._budget.charge(held.tag, bool(held.keys) - bool(held.keys - step), _cost(held) - cost)


def _seniority(held: Held) -> tuple[int, bool]:
    return sequence_of(held.raw), isinstance(held, HeldWithdrawal)


def _age(held: Held) -> bytes:
    """By the signed expiry, which no correction of the clock changes."""
    return age_key(held.tag, expiry_of(held.raw), id(held).to_bytes(8, "big"))


def _cost(held: Held) -> int:
    return len(held.raw) + ENTRY_OVERHEAD + KEY_OVERHEAD * (held.keys - 1) if held.keys else 0
