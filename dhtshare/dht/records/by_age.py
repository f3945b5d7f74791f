"""The records of one store, networks apart, the oldest of each first: who gives way, and who is past. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import TypeVar

from dhtshare.dht.records.sorted_list import SortedList

Item = TypeVar("Item")

AGE_BYTES = 4
_LENGTHS = [bytes((length,)) for length in range(256)]


def age_key(tag: bytes, age: bytes, rest: bytes) -> bytes:
    """Sorts by network, then by age (AGE_BYTES, big-endian, lower is older); `rest` tells equals apart."""
    return _LENGTHS[len(tag)] + tag + age + rest


def network_prefix(tag: bytes) -> bytes:
    """How the keys of one network begin, and no others: tags are of several lengths."""
    return _LENGTHS[len(tag)] + tag


class ByAge(SortedList[Item]):
    """A sorted list whose keys are made by `age_key`."""

    def oldest(self, tag: bytes) -> Item | None:
        """The oldest record of a network."""
        prefix = network_prefix(tag)
        item = self.first_from(prefix)
        return item if item is not None and self.key(item).startswith(prefix) else None

    def of(self, tag: bytes) -> Iterator[Item]:
        """The records of a network, the oldest first. Not to be read on after a change."""
        prefix = network_prefix(tag)
        return takewhile(lambda item: self.key(item).startswith(prefix), self.starting(prefix))

    def past(self, is_past: Callable[[Item], bool]) -> list[Item]:
        """All records that are past. Asks of each network only until one is not."""
        found: list[Item] = []
        start = b""
        while (first := self.first_from(start)) is not None:
            key = self.key(first)
            tag = key[1 : 1 + key[0]]
            found += takewhile(is_past, self.of(tag))
            start = (int.from_bytes(network_prefix(tag), "big") + 1).to_bytes(1 + len(tag), "big")  # behind them all
        return found
