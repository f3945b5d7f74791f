"""A list that stays sorted while items come and go: blocks of pointers, so that neither moves much memory. Pure.

Invariant: the keys ascend over all blocks, no block is empty, and `_lasts` names the last key of each block.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

BLOCK = 512  # items at most; adding one moves 4 kB, finding one of 100,000 compares 17 keys


class SortedList(Generic[Item]):
    """Items by `key`, else by themselves. Each has another key, which does not change while it is here."""

    def __init__(self, items: Iterable[Item] = (), *, key: Callable[[Item], Any] | None = None) -> None:
        self.key = key or _itself
        self._compared = key  # None: `bisect` then calls nothing
        ordered = sorted(items, key=self.key)
        self._blocks = [ordered[start : start + BLOCK] for start in range(0, len(ordered), BLOCK)]
        self._lasts = [self.key(block[-1]) for block in self._blocks]

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def __iter__(self) -> Iterator[Item]:
        for block in self._blocks:
            yield from block

    def first_from(self, key: Any) -> Item | None:
        """The first item whose key is not lower than this one."""
        number = bisect_left(self._lasts, key)
        if number == len(self._blocks):
            return None
        block = self._blocks[number]
        return block[bisect_left(block, key, key=self._compared)]

    def starting(self, key: Any) -> Iterator[Item]:
        """The items from the first whose key is not lower than this one. Not to be read on after a change."""
        number = bisect_left(self._lasts, key)
        if number < len(self._blocks):
            block = self._blocks[number]
            yield from islice(block, bisect_left(block, key, key=self._compared), None)
            yield from chain.from_iterable(islice(self._blocks, number + 1, None))

    def add(self, item: Item) -> None:
        key = self.key(item)
        number = bisect_left(self._lasts, key)
        if number == len(self._blocks):
            if not number:
                self._blocks.append([item])
                self._lasts.append(key)
                return
            number -= 1
            self._lasts[number] = key
        block = self._blocks[number]
        block.insert(bisect_left(block, key, key=self._compared), item)
        if len(block) > BLOCK:
            half = len(block) // 2
            self._blocks.insert(number + 1, block[half:])
            del block[half:]
            self._lasts.insert(number, self.key(block[-1]))

    def remove(self, item: Item) -> None:
        """Take out an item that is here."""
        key = self.key(item)
        number = bisect_left(self._lasts, key)
        block = self._blocks[number]
        place = bisect_left(block, key, key=self._compared)
        assert self.key(block[place]) == key
        del block[place]
        if not block:
            del self._blocks[number], self._lasts[number]
        elif place == len(block):
            self._lasts[number] = self.key(block[-1])


def _itself(item: Any) -> Any:
    return item
