"""What became of an announcement: acknowledgements, quorum, what was read back. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dhtshare.network import Address


class Seen(NamedTuple):
    """How many of a record's keys were found again, and whether that was enough: then they are not read back anew."""

    keys: int
    enough: bool


NOT_SEEN = Seen(0, False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """All counts: `keys` announced, `acks` of holders for them, distinct `holders`, `verified` keys found again.

    Our own copies are no acks. `verified` counts keys whose record was read back (`read_back.py`).
    `quorum`: more than half of min(target, live servers found, ourselves excluded) acknowledged each key, or
    nobody else is there yet (`alone`). `full` lists words that a holder had no room for; it does not count
    against it. `no_room` counts the keys that nobody has room for, and that were not found again. `next_renewal`
    in Unix seconds. `weakest`: of the key that is held least, by how many holders of how many wanted.
    """

    keys: int
    acks: int
    holders: int
    verified: int
    quorum: bool
    alone: bool
    full: tuple[str, ...] = ()
    no_room: int = 0
    next_renewal: float = 0.0
    weakest: tuple[int, int] = (0, 0)

    @property
    def read_back(self) -> bool:
        """Whether every key that some holder has room for was found again."""
        return self.verified + self.no_room >= self.keys and not self.alone

    def renewed(self, part: Receipt, verified: int) -> Receipt:
        """This one after some of its records, which had quorum, were announced again with that outcome; `verified`
        keys of all were found again by now."""
        return replace(
            self,
            verified=min(verified, self.keys),
            quorum=part.quorum,
            alone=part.alone,
            next_renewal=part.next_renewal,
            weakest=part.weakest,
        )


@dataclass(slots=True, eq=False)
class KeyTally:
    """One key of one content in one scope: to how many it was offered and what they said."""

    key: bytes
    target: int
    word: str | None = None
    servers: int = 0
    acks: int = 0
    full: int = 0
    verified: bool = False

    @property
    def wanted(self) -> int:
        """How many could hold it; who has no room for it is not counted."""
        return max(0, min(self.target, self.servers - self.full))

    @property
    def quorum(self) -> bool:
        """Whether enough hold it."""
        return not self.wanted or 2 * self.acks > self.wanted


@dataclass(slots=True, eq=False)
class ReceiptTally:
    """Gathers one content's receipt from all its keys in all scopes.

    `unused`: servers that were not asked to keep a provider record, for nobody there could dial us.
    """

    keys: list[KeyTally] = field(default_factory=list)
    holders: set[Address] = field(default_factory=set)
    unused: int = 0

    def add(self, key: bytes, target: int, word: str | None = None) -> KeyTally:
        """The tally of one more key of one scope; `word` None: it is the provider record's."""
        tally = KeyTally(key, target, word)
        self.keys.append(tally)
        return tally

    def see(self, seen: Seen, *, entry: bool) -> Seen:
        """What is known by now of the entry's keys, or of the provider record's: found again once counts ever after."""
        part = ReceiptTally([tally for tally in self.keys if (tally.word is not None) == entry])
        if not part.keys:
            return seen
        if seen.enough:
            for tally in part.keys:
                tally.verified = True
        outcome = part.receipt(0.0)
        return Seen(outcome.verified, seen.enough or outcome.read_back)

    def receipt(self, next_renewal: float) -> Receipt:
        """What it comes to."""
        tallies = self.keys
        keys = {tally.key for tally in tallies}
        verified = {tally.key for tally in tallies if tally.verified}
        full = {tally.key for tally in tallies if tally.full}
        wanted = {tally.key for tally in tallies if tally.wanted}
        return Receipt(
            keys=len(keys),
            acks=sum(tally.acks for tally in tallies),
            holders=len(self.holders),
            verified=len(verified),
            quorum=all(tally.quorum for tally in tallies),
            alone=not self.unused and not any(tally.servers for tally in tallies),
            full=tuple(dict.fromkeys(tally.word for tally in tallies if tally.full and tally.word is not None)),
            no_room=len(full - wanted - verified),
            next_renewal=next_renewal,
            weakest=min(
                ((min(tally.acks, tally.wanted), tally.wanted) for tally in tallies if tally.wanted),
                key=lambda held: held[0] / held[1],
                default=(0, 0),
            ),
        )
