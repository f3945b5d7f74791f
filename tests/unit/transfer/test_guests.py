"""Who gives way when the house is full, and who never does."""

from __future__ import annotations

from dataclasses import dataclass

from dhtshare.transfer.guests import MAX_GUESTS, MAX_PER_IP, Guests


@dataclass(eq=False)
class Someone:
    host: str
    idle_since: float
    busy: bool = False


def fill(guests: Guests[Someone], count: int, *, busy: bool = False) -> list[Someone]:
    inside = [Someone(f"10.0.{number // 250}.{number % 250}", float(number), busy) for number in range(count)]
    for guest in inside:
        guests.came(guest)
    return inside


def test_there_is_room_until_the_limit() -> None:
    guests: Guests[Someone] = Guests()
    fill(guests, MAX_GUESTS - 1)
    assert guests.make_room("10.9.9.9", crowded=False) == (True, None)


def test_the_one_without_a_request_for_longest_gives_way() -> None:
    guests: Guests[Someone] = Guests()
    inside = fill(guests, MAX_GUESTS)
    inside[0].idle_since = 1e9
    assert guests.make_room("10.9.9.9", crowded=False) == (True, inside[1])


def test_a_running_transfer_never_gives_way() -> None:
    guests: Guests[Someone] = Guests()
    inside = fill(guests, MAX_GUESTS, busy=True)
    assert guests.make_room("10.9.9.9", crowded=False) == (False, None)
    inside[150].busy = False
    assert guests.make_room("10.9.9.9", crowded=False) == (True, inside[150])


def test_one_ip_of_a_global_scope_has_few_places() -> None:
    guests: Guests[Someone] = Guests()
    same = [Someone("203.0.113.1", float(number), busy=True) for number in range(MAX_PER_IP)]
    for guest in same:
        guests.came(guest)
    assert guests.make_room("203.0.113.1", crowded=True) == (False, None)
    assert guests.make_room("203.0.113.2", crowded=True) == (True, None)
    same[3].busy = False
    assert guests.make_room("203.0.113.1", crowded=True) == (True, same[3])


def test_one_machine_of_the_lan_may_run_many_nodes() -> None:
    guests: Guests[Someone] = Guests()
    for number in range(3 * MAX_PER_IP):
        guests.came(Someone("127.0.0.1", float(number)))
    assert guests.make_room("127.0.0.1", crowded=False) == (True, None)


def test_who_left_is_counted_once() -> None:
    guests: Guests[Someone] = Guests()
    (guest,) = fill(guests, 1)
    guests.left(guest)
    guests.left(guest)
    assert len(guests) == 0
    for number in range(MAX_PER_IP):
        assert guests.make_room(guest.host, crowded=True) == (True, None), number
        guests.came(Someone(guest.host, 0.0))
