"""What a whole seed gives to one peer, so that the others take something else. Pure.

Word of a gift reaches the others after their own requests for the same chunk: it stands behind data on a full line.
So who asks for what somebody else was given a moment ago is sent away once, having been told; asked again, it comes.
Without that a fifth of what a seed of 100 Mbit/s sent to five fetchers it had just sent to another (decision 0011).
"""

from __future__ import annotations

from collections import deque
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
    """All contents of a seeder. Forgets by itself."""

    def __init__(self) -> None:
        self._takers: dict[Named, tuple[float, Peer]] = {}
        self._given: deque[tuple[float, Named]] = deque()
        self._told: dict[tuple[Peer, Named], bool] = {}
        """Who was sent away from which chunk, and whether it has not asked for it again."""
        self._sent: deque[tuple[float, tuple[Peer, Named]]] = deque()

    def __len__(self) -> int:
        return len(self._takers) + len(self._told)

    def is_elsewhere(self, peer: Peer, content: bytes, chunk: int, now: float, *, begins: bool) -> bool:
        """Whether a peer that asks for a chunk is to take another one first. `begins`: it asks for the beginning of
        the chunk; what follows goes the same way."""
        self.forget(now)
        named = (content, chunk)
        told = (peer, named)
        if told in self._told:
            if begins:
                self._told[told] = False
            return self._told[told]
        taker = self._takers.get(named)
        if not begins or taker is None or taker[1] == peer:
            return False
        self._told[told] = True
        self._sent.append((now, told))
        return True

    def gave(self, peer: Peer, content: bytes, chunk: int, now: float) -> None:
        """The chunk goes to this peer."""
        named = (content, chunk)
        self._takers[named] = now, peer
        self._given.append((now, named))

    def forget(self, now: float) -> None:
        """Let go of what is past; call it now and then, for the peers are kept."""
        while self._given and now - self._given[0][0] >= RECENT_SECONDS:
            at, named = self._given.popleft()
            if named in self._takers and self._takers[named][0] == at:
                del self._takers[named]
        while self._sent and now - self._sent[0][0] >= TOLD_SECONDS:
            del self._told[self._sent.popleft()[1]]
