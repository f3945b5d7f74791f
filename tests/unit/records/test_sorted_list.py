"""How much work a sorted list is; that it stays sorted is shown by properties."""

from __future__ import annotations

import random

from dhtshare.dht.records.sorted_list import BLOCK, SortedList

HELD = 100 * BLOCK
MOST_KEYS = 15  # 7 steps among up to 128 blocks need none; one more for the item, and for the end of a block


def test_nothing_walks_all_that_it_holds() -> None:
    """A walk over everything held stopped a full node for a third of a second."""
    asked = 0

    def key(item: int) -> int:
        nonlocal asked
        asked += 1
        return item

    rng = random.Random(1)
    items = rng.sample(range(10 * HELD), HELD)
    held = SortedList(items[:-1000], key=key)
    asked = most = 0
    for item in items[-1000:]:
        for change in (held.add, held.remove, held.add):
            before = asked
            change(item)
            most = max(most, asked - before)
    assert most <= MOST_KEYS
    before = asked
    assert held.first_from(items[0]) == items[0]
    assert asked - before <= MOST_KEYS
