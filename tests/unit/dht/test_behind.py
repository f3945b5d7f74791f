"""The subtrees behind the last that an answer names, and that asking for them goes on where it ended."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.behind import near_ends
from dhtshare.dht.contact import ID_BITS


@pytest.mark.parametrize(
    ("edge", "ends"),
    [
        (0b1, [0b10, 0b100]),
        (0b1000000, [0b1010000, 0b1100000, 0b10000000, 0b100000000]),
        (0b1011010, [0b1100000, 0b10000000, 0b100000000]),
        (0b1111111, [0b10000000, 0b100000000]),
        ((1 << ID_BITS) - 1, []),
        (1 << ID_BITS - 1, [0b101 << ID_BITS - 3, 0b11 << ID_BITS - 2]),
    ],
)
def test_they_begin_where_a_bit_of_the_edge_is_0(edge: int, ends: list[int]) -> None:
    assert near_ends(edge) == ends


def test_the_20_closest_to_each_near_end_go_on_from_the_edge_with_hardly_a_hole() -> None:
    """Distances stand for nodes: the target is 0. Without the near ends 12 of the 20 closest live ones are named."""
    rng = random.Random(1)
    missed = 0
    for _ in range(100):
        nodes = sorted(rng.getrandbits(ID_BITS) for _ in range(500))
        dead = set(rng.sample(nodes, 200))
        named = set(nodes[:20])
        live = [node for node in nodes[:20] if node not in dead]
        for end in near_ends(live[: 20 // 2][-1]):
            named.update(sorted(nodes, key=lambda node: node ^ end)[:20])
        missed += len(set([node for node in nodes if node not in dead][:20]) - named)
    assert missed <= 100 * 20 / 200
