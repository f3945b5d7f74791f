"""What fits into the datagrams of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.dht.messages import Request
from dhtshare.dht.records.rooms import fill, rooms
from dhtshare.dht.wire import MAX_PARTS
from dhtshare.network import Address, Scope


def request(room: int, more_room: int) -> Request:
    return Request({}, Address("10.0.0.1", 1), bytes(20), bool(more_room), False, None, Scope.LAN, room, more_room)


@pytest.mark.parametrize(
    ("room", "more_room", "wanted", "spaces"),
    [
        (500, 0, 5, [460]),  # an unproved asker gets one datagram
        (500, 900, 1, [460]),
        (500, 900, 3, [460, 892, 892]),
        (500, 900, 10_000, [460] + [892] * (MAX_PARTS - 1)),
        (20, 900, 2, [0, 892]),  # the contacts left no room in the first
        (500, 8, 3, [460]),  # no room for anything beside the head
    ],
)
def test_rooms_of_an_answer(room: int, more_room: int, wanted: int, spaces: list[int]) -> None:
    assert rooms(request(room, more_room), wanted, 40, 8) == spaces


@given(st.lists(st.integers(1, 50)), st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_items_go_in_order_into_what_they_fit_and_stop_at_the_first_that_does_not(
    items: list[int], spaces: list[int]
) -> None:
    parts, complete = fill(items, lambda item: item, spaces)
    sent = [item for part in parts for item in part]
    assert sent == items[: len(sent)]
    assert complete is (sent == items)
    assert 1 <= len(parts) <= len(spaces)
    assert all(sum(part) <= space for part, space in zip(parts, spaces, strict=False))
    assert len(parts) == 1 or parts[-1], "no datagram goes out for nothing"
    if not complete:
        assert items[len(sent)] > spaces[-1] - (sum(parts[-1]) if len(parts) == len(spaces) else 0)


def test_an_item_that_fits_no_datagram_ends_it() -> None:
    assert fill([5, 99, 5], lambda item: item, [10, 10]) == ([[5]], False)
    assert fill([99], lambda item: item, [10, 10]) == ([[]], False)
    assert fill([], lambda item: item, [10]) == ([[]], True)
