"""How many copies of a content there are among peers, and which part of it nobody has. Pure.

Told by the peers themselves, and believed no further than that: a chunk counts as fetched when it was verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dhtshare.content.layout import Layout

MAX_PARTS = 20
"""Stretches named one by one; a content full of holes is told by their number."""


@dataclass(frozen=True, slots=True)
class Availability:
    """`full`: peers that hold all. `rarest`: how often the rarest chunk exists, full copies included.

    `copies`: the same with the part of the chunks that exist once more as fraction (a `distributed copies` of
    BitTorrent clients). `nobody`: the chunks that no peer holds, as bits.
    """

    full: int
    rarest: int
    copies: float
    nobody: int

    @classmethod
    def of(cls, chunks: int, holders: Iterable[int | None]) -> Availability:
        """Of so many chunks, from what each peer holds as bits; None is all of it."""
        full, everything = 0, (1 << chunks) - 1
        at_least: list[int] = []  # [i]: the chunks of which there are more than i copies beside the full ones
        for holder in holders:
            if holder is None:
                full += 1
                continue
            more = holder & everything
            for level, held in enumerate(at_least):
                at_least[level], more = held | more, held & more
            if more:
                at_least.append(more)
        rarest = sum(held == everything for held in at_least)
        above = at_least[rarest].bit_count() / chunks if rarest < len(at_least) else 0.0
        nobody = everything & ~at_least[0] if at_least else everything
        return cls(full, full + rarest, full + rarest + above, 0 if full else nobody)

    def sentence(self) -> str:
        """'2 full copies, rarest chunk 3 times'; below one copy only what there is."""
        copies = f"{self.full} full {'copy' if self.full == 1 else 'copies'}"
        if not self.nobody:
            return f"{copies}, rarest chunk {self.rarest} {'time' if self.rarest == 1 else 'times'}"
        return f"{copies}, {self.copies:.2f} copies in all"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `begin` to `end` (not included) of a file; `path` is empty for a content that is one file."""

    path: str
    begin: int
    end: int

    def fields(self) -> dict[str, str | int]:
        """As it stands on the command line's JSON."""
        stretch: dict[str, str | int] = {"begin": self.begin, "end": self.end}
        return {"path": self.path, **stretch} if self.path else stretch


def parts_of(layout: Layout, chunks: int) -> Iterator[Part]:
    """The stretches that these chunks (bits) are, file by file, in order."""
    part: Part | None = None
    while chunks:
        index = (chunks & -chunks).bit_length() - 1
        chunks &= chunks - 1
        slot = layout.slot(index)
        path, end = layout.files[slot.file].path, slot.offset + slot.length
        if part is not None and part.path == path and part.end == slot.offset:
            part = Part(path, part.begin, end)
            continue
        if part is not None:
            yield part
        part = Part(path, slot.offset, end)
    if part is not None:
        yield part


def lacking(layout: Layout, chunks: int) -> str:
    """'3 of its 12 chunks are held by none of them: 4.0 to 7.0 MiB'; empty where nothing is lacking."""
    if not chunks:
        return ""
    count = chunks.bit_count()
    held = "is held" if count == 1 else "are held"
    found: list[str] = []
    for part in parts_of(layout, chunks):
        if len(found) == 3:
            found[-1] = "…"
            break
        found.append(_shown(part, layout))
    return f"{count} of its {layout.chunk_count} chunks {held} by none of them: {', '.join(found)}."


def _shown(part: Part, layout: Layout) -> str:
    stretch = f"{part.begin / (1 << 20):.1f} to {part.end / (1 << 20):.1f} MiB"
    if not part.path:
        return stretch
    whole = next(file.size for file in layout.files if file.path == part.path) == part.end and not part.begin
    return f"{part.path!a}" if whole else f"{part.path!a} {stretch}"
