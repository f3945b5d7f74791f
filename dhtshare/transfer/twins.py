"""Two that fetch the same thing dial each other: which of their two connections both of them keep. Pure.

Each fetch has a tag by chance, sent with every ASK. Of two connections on which the same tag came in, the one stays
that the fetch with the greater tag opened; both sides know both tags, so both let go of the same one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Line = TypeVar("Line", bound=Hashable)


class Twins(Generic[Line]):
    """The connections of one fetch by the tag of who is at the other end. Invariant: one per tag is kept."""

    def __init__(self, own: bytes) -> None:
        self.own = own
        self._kept: dict[bytes, tuple[Line, bool]] = {}
        self._tags: dict[Line, bytes] = {}

    def told(self, line: Line, tag: bytes, *, opened_here: bool) -> Line | None:
        """This tag came in on a connection; which one to let go of, if any: this one or the one before it."""
        if not tag or line in self._tags:
            return None
        self._tags[line] = tag
        kept = self._kept.get(tag)
        if kept is None:
            self._kept[tag] = (line, opened_here)
            return None
        other, other_opened_here = kept
        ours_stays = self.own > tag
        if opened_here == other_opened_here or other_opened_here == ours_stays:
            return line
        self._kept[tag] = (line, opened_here)
        return other

    def twin(self, line: Line) -> Line | None:
        """The connection that is kept instead of this one; None where this one is kept, or alone."""
        kept = self._kept.get(self._tags.get(line, b""))
        return None if kept is None or kept[0] == line else kept[0]

    def gone(self, line: Line) -> None:
        """A connection ended."""
        tag = self._tags.pop(line, b"")
        kept = self._kept.get(tag)
        if kept is not None and kept[0] == line:
            del self._kept[tag]
