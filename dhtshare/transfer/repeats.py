"""Chunks of one content that are the same bytes, as in a disk image full of zeros: one is fetched, the others copied.

Pure. Knows hashes, and what was asked for; reads and writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.transfer.runs import bits_of

Group = Sequence[int]
"""Chunks that are the same bytes, in order; two or more."""


class Repeats:
    """Which chunks need not be asked for, because the same bytes are asked for as another chunk.

    Invariant: of a group one chunk at most is asked for, and while it is, or was verified, the others are `waiting`
    until they are verified themselves. Where nobody is asked, each of them may be: not every peer has all of them.
    """

    def __init__(self) -> None:
        self.waiting = 0
        """The set of those chunks, as the picker has its sets."""
        self._groups: dict[int, Group] = {}

    def add(self, group: Group) -> None:
        """None of these chunks was asked for yet, and none is here."""
        self._groups.update(dict.fromkeys(group, group))

    def others(self, chunk: int) -> list[int]:
        """The chunks that are the same bytes as this one."""
        return [other for other in self._groups.get(chunk, ()) if other != chunk]

    def others_bits(self, chunk: int) -> int:
        """The set of them."""
        return bits_of(self.others(chunk)) if chunk in self._groups else 0

    def requested(self, chunk: int) -> None:
        """Somebody was asked for this chunk."""
        self.waiting |= self.others_bits(chunk)

    def given_up(self, chunk: int) -> None:
        """Nobody is asked for it any more."""
        self.waiting &= ~self.others_bits(chunk)

    def verified(self, chunk: int) -> None:
        """It is here."""
        self.waiting &= ~(1 << chunk)


def known_repeats(layout: Layout, chunks: Iterable[int]) -> list[Group]:
    """The groups among the files of these chunks whose hashes are known, each looked at for itself; and the files of
    one chunk that are the same."""
    groups: list[Group] = []
    once: set[int] = set()
    again: set[int] = set()
    small = Bitfield(len(layout.files))
    for number, _ in groupby(layout.slot(chunk).file for chunk in chunks):
        if len(layout.chunks_of_file(number)) == 1:
            small.add(number)
            mark = hash(layout.files[number].content_hash)
            (again if mark in once else once).add(mark)
        elif not layout.needs_descriptor(number):
            groups += repeats_in(layout, number)
    alike: dict[bytes, list[int]] = defaultdict(list)  # of those that are alone in it would be 20 MB
    for number in small if again else ():
        content = layout.files[number].content_hash
        if hash(content) in again:
            alike[content].append(layout.chunks_of_file(number).start)
    return groups + [group for group in alike.values() if len(group) > 1]


def repeats_in(layout: Layout, number: int) -> list[Group]:
    """The groups within file `number`, whose descriptor is known."""
    descriptor, first = layout.descriptor_of(number), layout.files[number].first_chunk
    assert descriptor is not None
    hashes = [descriptor.chunk_hash(chunk) for chunk in range(descriptor.chunk_count)]
    if len(set(hashes)) == len(hashes):
        return []
    alike: dict[bytes, list[int]] = defaultdict(list)
    for chunk, chunk_hash in enumerate(hashes, first):
        alike[chunk_hash].append(chunk)
    return [group for group in alike.values() if len(group) > 1]
