"""What became of an announcement: acknowledgements, quorum, what was read back. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from dhtshare.dht.contact import Contact


@dataclass(frozen=True, slots=True)
class Receipt:
    """All counts: `keys` announced, `acks` of holders for them, distinct `holders`, `verified` acks found again.

    `quorum`: more than half of min(target, live servers found, ourselves excluded) acknowledged each key, or
    nobody else is there yet (`alone`). `full` lists words whose holders have no room; they do not count
    against it. `next_renewal` in Unix seconds.
    """

    keys: int
    acks: int
    holders: int
    verified: int
    quorum: bool
    alone: bool
    full: tuple[str, ...] = ()
    next_renewal: float = 0.0


@dataclass(slots=True)
class KeyTally:
    """One key in one scope: whom it was offered to and what they said."""

    target: int
    servers: int = 0
    acked: set[Contact] = field(default_factory=set)
    verified: set[Contact] = field(default_factory=set)
    full: int = 0

    @property
    def quorum(self) -> bool:
        """Whether enough hold it; a key that is full everywhere else does not count against."""
        wanted = min(self.target, self.servers) - self.full
        return wanted <= 0 or 2 * len(self.acked) > wanted


class ReceiptTally:
    """Gathers one content's receipt from all its keys in all scopes."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, bytes], KeyTally] = {}
        self.words: dict[bytes, str] = {}

    def of(self, scope: str, key: bytes, target: int) -> KeyTally:
        """The tally of a key, made on first use."""
        return self.keys.setdefault((scope, key), KeyTally(target))

    def receipt(self, next_renewal: float) -> Receipt:
        """What it comes to."""
        tallies = self.keys.values()
        full = dict.fromkeys(
            self.words[key] for (_, key), tally in self.keys.items() if tally.full and key in self.words
        )
        return Receipt(
            keys=len({key for _, key in self.keys}),
            acks=sum(len(tally.acked) for tally in tallies),
            holders=len({contact for tally in tallies for contact in tally.acked}),
            verified=sum(len(tally.verified) for tally in tallies),
            quorum=all(tally.quorum for tally in tallies),
            alone=not any(tally.servers for tally in tallies),
            full=tuple(full),
            next_renewal=next_renewal,
        )
