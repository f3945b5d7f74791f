"""Which chunks to ask which peer for. Knows nothing of sockets or clocks.

What a choice weighs, in this order: the peer has the chunk; nobody verified it; nobody else was asked for it, nor for
another that is the same bytes; in sequential mode, its place in the file; else how few have it, then the neighbourhood
of what this peer was asked last (runs read and write faster), then chance, so that fetchers of one seed draw different
chunks from it. When nothing unasked is left, the tail: chunks asked of peers that would bring them later than this one.

Sets of chunks are integers whose bit i is chunk i: one machine operation weighs 64 chunks.

Invariant: each wanted chunk is in exactly one state: missing, requested (of 1 to MAX_DUPLICATES peers), verified;
and a peer is never asked for a chunk that it lacks, nor twice for the same at a time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from dhtshare.transfer.availability import Availability
from dhtshare.transfer.repeats import Group, Repeats
from dhtshare.transfer.runs import bits_of

MAX_DUPLICATES = 3
TAIL_GAIN = 0.7
"""A duplicate is asked for only where it is expected within this part of what the first one still needs."""

Peer = Hashable


@dataclass(slots=True)
class _Known:
    """What is known of one peer."""

    has: int = 0
    complete: bool = False
    next_after: int = -1
    asked: dict[int, float] = field(default_factory=dict)
    """Chunk → when it is expected; infinity when that is unknown, or the peer is snubbed."""


class Picker:
    """The state of every chunk of one fetch and who has it."""

    def __init__(
        self, chunks: int, wanted: int, rng: random.Random, *, have: int = 0, sequential: bool = False
    ) -> None:
        """`wanted`: the chunks to fetch; `have`: those that are here already, for the map."""
        self._chunks = chunks
        self._all = (1 << chunks) - 1
        self._locked = 0
        self._missing = wanted & self._all
        self._verified = have & self._all
        self._requested: dict[int, set[Peer]] = {}
        self._peers: dict[Peer, _Known] = {}
        self._rarity: list[int] = [self._all]
        self._given = 0
        self._repeats = Repeats()
        self._rng = rng
        self.sequential = sequential

    # Facts.

    def lock(self, chunks: int) -> None:
        """These cannot be verified yet: do not ask for them before `unlock`."""
        self._locked |= chunks

    def unlock(self, chunks: int) -> None:
        """These can be verified now."""
        self._locked &= ~chunks

    def same(self, groups: Iterable[Group]) -> None:
        """Chunks that are the same bytes, before any of them was asked for: one of each group brings the others."""
        for group in groups:
            first, last = group[0], group[-1]
            missing = self._missing >> first & ((1 << (last - first + 1)) - 1)
            lacking = [chunk for chunk in group if missing >> (chunk - first) & 1]
            if len(lacking) > 1:
                self._repeats.add(lacking)

    def peer_has(self, peer: Peer, chunks: int, *, complete: bool = False) -> None:
        """A peer tells of chunks; those that it told before stay."""
        known = self._peers.setdefault(peer, _Known())
        if known.complete:
            return
        if complete:
            self._count(known.has, -1)
            known.has, known.complete = self._all, True
            return
        fresh = chunks & self._all & ~known.has
        self._count(fresh, +1)
        known.has |= fresh

    def given(self, chunks: int) -> None:
        """A seed gives these to others: among chunks as rare as they are, others come first."""
        self._given |= chunks

    def peer_gone(self, peer: Peer) -> None:
        """A peer is no more; what only it was asked for is missing again."""
        known = self._peers.pop(peer, None)
        if known is None:
            return
        if not known.complete:
            self._count(known.has, -1)
        for chunk in known.asked:
            self._unask(peer, chunk)

    def requested(self, peer: Peer, chunk: int, expected: float = math.inf) -> None:
        """The peer was asked for it and should have sent it at `expected`."""
        self._missing &= ~(1 << chunk)
        self._repeats.requested(chunk)
        self._requested.setdefault(chunk, set()).add(peer)
        known = self._peers[peer]
        known.asked[chunk] = expected
        known.next_after = chunk + 1

    def expected(self, peer: Peer, chunk: int, when: float) -> None:
        """The peer sends it, and will be through with it at `when`."""
        known = self._peers.get(peer)
        if known is not None and chunk in known.asked:
            known.asked[chunk] = when

    def refused(self, peer: Peer, chunk: int) -> None:
        """The peer will not send it, this time."""
        known = self._peers.get(peer)
        if known is not None and known.asked.pop(chunk, None) is not None:
            self._unask(peer, chunk)

    def lacks(self, peer: Peer, chunk: int) -> None:
        """The peer does not have it after all."""
        self.refused(peer, chunk)
        known = self._peers.get(peer)
        if known is None or not known.has >> chunk & 1:
            return
        if known.complete:
            self._count(self._all, +1)
            known.complete = False
        self._count(1 << chunk, -1)
        known.has &= ~(1 << chunk)

    def snubbed(self, peer: Peer) -> None:
        """The peer stalls: all that it was asked for may be asked of others at once."""
        known = self._peers.get(peer)
        if known is not None:
            known.asked = dict.fromkeys(known.asked, math.inf)

    def failed(self, peer: Peer, chunk: int) -> None:
        """What came from the peer was not this chunk."""
        self.refused(peer, chunk)

    def verified(self, chunk: int) -> list[Peer]:
        """The chunk is here. Returns whose requests for it are still open: they may be cancelled."""
        bit = 1 << chunk
        self._repeats.verified(chunk)
        self._missing &= ~bit
        self._verified |= bit
        holders = list(self._requested.pop(chunk, ()))
        for peer in holders:
            self._peers[peer].asked.pop(chunk, None)
        return holders

    # Questions.

    @property
    def done(self) -> bool:
        """Whether every wanted chunk is verified."""
        return not self._missing and not self._requested

    @property
    def shared(self) -> bool:
        """Whether seeds give the content to others, too: then whoever draws different chunks feeds the others."""
        return bool(self._given)

    @property
    def missing(self) -> int:
        """The chunks that somebody is to be asked for."""
        return self._missing & ~self._repeats.waiting

    def copies(self, chunk: int) -> list[int]:
        """The missing chunks that are the same bytes as this one, which was verified."""
        return [other for other in self._repeats.others(chunk) if not self.is_verified(other)]

    def is_verified(self, chunk: int) -> bool:
        """Whether the chunk is here."""
        return bool(self._verified >> chunk & 1)

    def wants(self, peer: Peer) -> bool:
        """Whether the peer has anything that is not verified yet."""
        known = self._peers.get(peer)
        if known is None:
            return False
        return bool(known.has & self._missing) or any(known.has >> chunk & 1 for chunk in self._requested)

    def pick(self, peer: Peer, most: int = 1, *, now: float = 0.0, would_take: float = math.inf) -> list[int]:
        """Up to `most` consecutive chunks to ask the peer for now; empty when there is nothing for it.

        `would_take` is how many seconds the peer would need for one more: it decides at the tail.
        """
        known = self._peers.get(peer)
        if known is None:
            return []
        open_ones = known.has & self._missing & ~(self._locked | self._repeats.waiting)
        if self.sequential and (late := self._late(peer, known, open_ones)) is not None:
            return [late]
        if open_ones:
            run, chunk = list[int](), self._first(known, open_ones)
            while len(run) < most and open_ones >> chunk & 1:
                run.append(chunk)
                if same := self._repeats.others_bits(chunk):
                    open_ones &= ~same
                chunk += 1
            return run
        return self._tail(peer, known, now, would_take)

    def map(self, cells: int) -> str:
        """A digit from 0 to 8 for each of at most `cells` stretches of the content: how much of it is verified."""
        cells = min(cells, self._chunks)
        digits = []
        for cell in range(cells):
            first, end = cell * self._chunks // cells, (cell + 1) * self._chunks // cells
            stretch = self._verified >> first & ((1 << (end - first)) - 1)
            digits.append(str(8 * stretch.bit_count() // (end - first)))
        return "".join(digits)

    def availability(self) -> Availability:
        """What the peers hold together; of what nobody has only the chunks that are still to be fetched."""
        seeds = sum(known.complete for known in self._peers.values())
        fewest = next((level for level, chunks in enumerate(self._rarity) if chunks), 0)
        above = sum(chunks.bit_count() for chunks in self._rarity[fewest + 1 :])
        lacking = self._missing & ~self._repeats.waiting | bits_of(self._requested)
        nobody = 0 if seeds else self._rarity[0] & lacking
        return Availability(seeds, seeds + fewest, seeds + fewest + above / max(1, self._chunks), nobody)

    def _first(self, known: _Known, candidates: int) -> int:
        if self.sequential:
            return _lowest(candidates)
        # Chunks held by seeds alone are on level 0: who has others asks seeds for these first. But not for what a
        # seed gives to somebody else right now: that comes from there soon.
        on_their_way = self._given & self._rarity[0]
        open_ones = candidates & ~on_their_way
        rare = next((rare for level in self._rarity if (rare := open_ones & level)), candidates)
        # A run reads and writes faster. Where others fetch too, two that walk along the same run would meet again
        # and again, so chance decides each time.
        if not self._given and known.next_after >= 0 and rare >> known.next_after & 1:
            return known.next_after
        return self._any_of(rare)

    def _any_of(self, chunks: int) -> int:
        start = self._rng.randrange(chunks.bit_length())
        above = chunks >> start
        return start + _lowest(above) if above else _lowest(chunks)

    def _late(self, peer: Peer, known: _Known, open_ones: int) -> int | None:
        """In sequential mode: the first chunk that a stalling peer holds up, before what is still to be asked."""
        first_open = _lowest(open_ones) if open_ones else self._chunks
        for chunk in sorted(self._requested):
            holders = self._requested[chunk]
            takes = known.has >> chunk & 1 and peer not in holders and len(holders) < MAX_DUPLICATES
            if chunk < first_open and takes and all(self._peers[one].asked[chunk] == math.inf for one in holders):
                return chunk
        return None

    def _tail(self, peer: Peer, known: _Known, now: float, would_take: float) -> list[int]:
        latest, choice = now + would_take / TAIL_GAIN, -1
        for chunk, holders in self._requested.items():
            if len(holders) >= MAX_DUPLICATES or peer in holders or not known.has >> chunk & 1:
                continue
            due = min(self._peers[holder].asked[chunk] for holder in holders)
            if due < now:
                due += 2 * (now - due)  # what is late stays out, for all that is known, as long again
            if due > latest or (due == math.inf and choice < 0):
                latest, choice = due, chunk
        return [choice] if choice >= 0 else []

    def _unask(self, peer: Peer, chunk: int) -> None:
        holders = self._requested.get(chunk)
        if holders is not None:
            holders.discard(peer)
            if not holders:
                del self._requested[chunk]
                self._missing |= 1 << chunk
                self._repeats.given_up(chunk)

    def _count(self, chunks: int, by: int) -> None:
        """Move chunks one level of rarity up or down."""
        order = range(len(self._rarity) - 1, -1, -1) if by > 0 else range(1, len(self._rarity))
        for level in order:
            moving = self._rarity[level] & chunks
            if not moving:
                continue
            self._rarity[level] &= ~moving
            if level + by == len(self._rarity):
                self._rarity.append(0)
            self._rarity[level + by] |= moving


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
