"""In which order hits are shown, and which of them deserve a probe. Pure: asks nobody.

Keys cost nothing, so the number of publishers weighs nothing. What counts are distinct networks of
providers that confirmed to this searcher that they hold the content; among equals nobody's network
gets two places before the others had one, so 500 entries from one network never bury ten honest ones
(design.md, section 5: search).
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

MAX_NAMES = 16

Item = TypeVar("Item")


@dataclass(slots=True)
class Hit:
    """One content that matched: what its entries say together, and who confirmed to hold it."""

    content_hash: bytes
    kind: str
    size: int
    #: who published it, and how each calls it
    publishers: dict[bytes, str] = field(default_factory=dict)
    #: networks of confirmed providers, see network.network_tag
    networks: set[bytes] = field(default_factory=set)
    #: confirmed providers; None while nobody was asked
    providers: int | None = None

    @property
    def name(self) -> str:
        """What most publishers call it; among equals the first in order of the alphabet."""
        return self.other_names()[0]

    def other_names(self) -> list[str]:
        """Every name it goes by, the most used first, at most MAX_NAMES."""
        names = Counter(self.publishers.values())
        return sorted(names, key=lambda name: (-names[name], name))[:MAX_NAMES]


class HitList:
    """Unites entries of one content into one hit. Invariant: one hit per (content, kind, size)."""

    def __init__(self) -> None:
        self._hits: dict[tuple[bytes, str, int], Hit] = {}
        self._published: dict[tuple[bytes, bytes], Hit] = {}
        self._told: defaultdict[str, dict[int, Hit]] = defaultdict(dict)  # who told → hits in order, each once

    def __len__(self) -> int:
        return len(self._hits)

    def add(self, *, content_hash: bytes, kind: str, size: int, name: str, publisher: bytes, told_by: str) -> Hit:
        """The hit of one verified entry that `told_by` names; a publisher counts once for a content."""
        hit = self._published.get((publisher, content_hash))
        if hit is None:
            hit = self._hits.setdefault((content_hash, kind, size), Hit(content_hash, kind, size))
            hit.publishers[publisher] = name
            self._published[publisher, content_hash] = hit
        self._told[told_by].setdefault(id(hit), hit)
        return hit

    def withdraw(self, publisher: bytes, content_hash: bytes) -> None:
        """A publisher took its entry back; a hit that nobody else publishes goes."""
        hit = self._published.pop((publisher, content_hash), None)
        if hit is None:
            return
        del hit.publishers[publisher]
        if not hit.publishers:
            del self._hits[hit.content_hash, hit.kind, hit.size]

    def hits(self) -> list[Hit]:
        """All hits, dealt over those who told of them: the first of each, then the second of each that is not out yet.

        So whoever tells of hundreds, and was quickest, takes no more room than any other.
        """
        waiting = deque(deque(hits.values()) for hits in self._told.values())
        order: dict[int, Hit] = {}
        while waiting:
            turn = waiting.popleft()
            while turn:
                hit = turn.popleft()
                if hit.publishers and id(hit) not in order:
                    order[id(hit)] = hit
                    waiting.append(turn)
                    break
        return list(order.values())


def deal(items: Iterable[Item], group_of: Callable[[Item], Hashable]) -> list[Item]:
    """Round-robin over groups: the first of each, then the second of each; within a group as given."""
    groups: defaultdict[Hashable, deque[Item]] = defaultdict(deque)
    for item in items:
        groups[group_of(item)].append(item)
    dealt: list[Item] = []
    waiting = deque(groups.values())
    while waiting:
        group = waiting.popleft()
        dealt.append(group.popleft())
        if group:
            waiting.append(group)
    return dealt


def rank(hits: Iterable[Hit]) -> list[Hit]:
    """Best first: more distinct networks that confirmed, then dealt over networks, else over publishers.

    Every hit matches every word, or a holder would not have named it, so all match equally well.
    """
    levels: defaultdict[int, list[Hit]] = defaultdict(list)
    for hit in hits:
        levels[len(hit.networks)].append(hit)
    return [hit for level in sorted(levels, reverse=True) for hit in deal(levels[level], _network_or_publisher)]


def _network_or_publisher(hit: Hit) -> Hashable:
    return (True, min(hit.networks)) if hit.networks else (False, min(hit.publishers))
