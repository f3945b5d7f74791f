"""Takes turns among those who speak: nobody's many words crowd out another's few. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Group = TypeVar("Group", bound=Hashable)
Item = TypeVar("Item")


class Deal(Generic[Group, Item]):
    """Items in order of arrival within their group, groups in turn.

    Invariant: between two items of one group every other group that has any gives one.
    """

    def __init__(self) -> None:
        self._queues: dict[Group, deque[Item]] = {}
        self._turns: deque[Group] = deque()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, group: Group, item: Item) -> None:
        """One more, behind those of its group."""
        queue = self._queues.get(group)
        if queue is None:
            queue = self._queues[group] = deque()
            self._turns.append(group)
        queue.append(item)

    def next(self) -> Item | None:
        """The next one, of the group whose turn it is; None when nothing is left."""
        if not self._turns:
            return None
        group = self._turns.popleft()
        queue = self._queues[group]
        item = queue.popleft()
        if queue:
            self._turns.append(group)
        else:
            del self._queues[group]
        return item
