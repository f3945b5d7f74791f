"""What a whole seed gives to one peer, so that the others take something else. Pure.

Word of a gift reaches the others after their own requests for the same chunk: it stands behind data on a full line.
So who asks for what somebody else was given a moment ago is sent away once, having been told; asked again, it comes.
Without that a fifth of what a seed of 100 Mbit/s sent to five fetchers it had just sent to another (decision 0011).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

RECENT_SECONDS = 0.5
"""For so long it is not yet known to all."""
TOLD_SECONDS = 10.0
"""Nobody is sent away from the same chunk again within this time, whoever was given it meanwhile."""

Peer = TypeVar("Peer", bound=Hashable)
Named = tuple[bytes, int]
"""Content and chunk."""


class Gifts(Generic[Peer]):
    """All contents of a seeder. Both books are in the order of their times, so that what is past stands first."""

    def __init__(self) -> None:
        self._takers: OrderedDict[Named, tuple[float, Peer]] = OrderedDict()
        self._told: OrderedDict[tuple[Peer, Named], tuple[float, bool]] = OrderedDict()
        """Who was sent away from which chunk, and whether it has not asked for it again."""

    def __len__(self) -> int:
        return len(self._takers) + len(self._told)

    def is_elsewhere(self, peer: Peer, content: bytes, chunk: int, now: float, *, begins: bool) -> bool:
        """Whether a peer that asks for a chunk is to take another one first. `begins`: it asks for the beginning of
        the chunk; what follows goes the same way."""
        self.forget(now)
        named = (content, chunk)
        if (told := self._told.get((peer, named))) is not None:
            at, away = told
            self._told[peer, named] = at, away and not begins
            return away and not begins
        taker = self._takers.get(named)
        if not begins or taker is None or taker[1] == peer:
            return False
        self._told[peer, named] = now, True
        return True

    def gave(self, peer: Peer, content: bytes, chunk: int, now: float) -> None:
        """The chunk goes to this peer."""
        self._takers[content, chunk] = now, peer
        self._takers.move_to_end((content, chunk))

    def forget(self, now: float) -> None:
        """Let go of what is past; call it now and then, for the peers are kept."""
        while self._takers and now - next(iter(self._takers.values()))[0] >= RECENT_SECONDS:
            self._takers.popitem(last=False)
        while self._told and now - next(iter(self._told.values()))[0] >= TOLD_SECONDS:
            self._told.popitem(last=False)
