"""Learning our address from those we asked: agreement, liars, small networks, a changed address."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.dht.external import MAX_VOICES, VOICE_SECONDS, ExternalAddress, same_wide_network
from dhtshare.network import Address

HOME, MOVED, FALSE = "5.5.5.5", "6.6.6.6", "66.66.66.66"


def reporter(number: int) -> Address:
    """One a /16."""
    return Address(f"20.{number}.1.1", 4470)


def told(external: ExternalAddress, host: str, *numbers: int, now: float = 0.0) -> list[bool]:
    return [external.seen(reporter(number), host, now) for number in numbers]


def known(voices: int = 3) -> ExternalAddress:
    external = ExternalAddress()
    told(external, HOME, *range(voices))
    assert external.host == HOME
    return external


def test_a_configured_address_is_never_replaced() -> None:
    external = ExternalAddress(HOME)
    assert not any(told(external, FALSE, *range(50)))
    assert external.host == HOME
    assert external.confirmed


def test_the_first_word_is_taken_and_not_yet_confirmed() -> None:
    external = ExternalAddress()
    assert told(external, HOME, 1) == [True]
    assert not external.confirmed
    assert told(external, HOME, 2, 3) == [False, False]
    assert external.confirmed


def test_two_that_differ_convince_nobody() -> None:
    external = ExternalAddress()
    told(external, FALSE, 1)
    assert told(external, HOME, 2) == [False]
    assert external.host == FALSE, "what was there first stays until three agree"
    assert told(external, HOME, 3) == [False]
    assert told(external, HOME, 4) == [True], "three of four"
    assert external.host == HOME


def test_three_must_be_the_majority() -> None:
    external = ExternalAddress()
    for number in range(6):
        told(external, f"7.7.7.{number}", number)
    before = external.host
    assert told(external, HOME, 10, 11, 12) == [False, False, False], "three of nine"
    assert external.host == before


def test_a_liar_that_came_first_is_outvoted() -> None:
    external = ExternalAddress()
    told(external, FALSE, 0)
    assert True in told(external, HOME, 1, 2, 3)
    assert external.host == HOME


def test_a_network_has_one_voice_however_many_speak() -> None:
    external = known()
    for last in range(1, 200):
        external.seen(Address(f"30.1.{last}.{last}", 4470), FALSE, 1.0)
    assert external.host == HOME


def test_ipv6_networks_speak_by_32() -> None:
    external = ExternalAddress()
    for number in range(3):
        external.seen(Address(f"2a00:{number}::1", 4470), "2a10::1", 0.0)
    for number in range(100):
        external.seen(Address(f"2a11:1:{number}::1", 4470), "2a66::6", 1.0)
    assert external.host == "2a10::1"


@pytest.mark.parametrize("liars", [1, 4])
def test_up_to_four_liars_move_nobody(liars: int) -> None:
    external = known()
    assert not any(told(external, FALSE, *range(10, 10 + liars)))
    assert external.host == HOME


def test_five_replace_a_known_address() -> None:
    external = known()
    assert told(external, MOVED, 10, 11, 12, 13, 14) == [False] * 4 + [True]
    assert external.host == MOVED
    assert external.confirmed


def test_five_do_not_against_more_that_still_say_the_old() -> None:
    external = known(voices=8)
    assert not any(told(external, FALSE, *range(20, 28)))
    assert told(external, FALSE, 28) == [True], "nine of seventeen"


def test_in_a_network_of_four_all_three_others_replace() -> None:
    """Five voices are not to be had there; a node that moved would be under a false id for ever."""
    external = known(voices=3)
    assert told(external, MOVED, 0, 1, 2, now=60.0) == [False, False, True]


def test_in_a_network_of_two_the_other_one_replaces() -> None:
    external = known(voices=1)
    assert told(external, MOVED, 0, now=60.0) == [True]


def test_one_of_two_does_not() -> None:
    external = known(voices=2)
    assert told(external, MOVED, 0) == [False]
    assert told(external, MOVED, 1) == [True]


def test_voices_grow_old() -> None:
    external = known(voices=3)
    told(external, HOME, 3)
    assert told(external, MOVED, 0, 1, 2) == [False] * 3, "one still says the old"
    assert told(external, MOVED, 0, now=VOICE_SECONDS + 1) == [False], "alone it convinces nobody"
    assert told(external, MOVED, 1, 2, now=VOICE_SECONDS + 2) == [False, True]


def test_an_earlier_life_s_address_is_only_a_start() -> None:
    """A laptop that wakes up in another network is under a false id until it learns better."""
    external = ExternalAddress(believed=HOME)
    assert external.host == HOME
    assert not external.confirmed
    assert told(external, MOVED, 1) == [True]


def test_an_earlier_life_s_address_that_is_confirmed_stays() -> None:
    external = ExternalAddress(believed=HOME)
    assert told(external, HOME, 1, 2, 3) == [False] * 3
    assert external.confirmed
    assert not any(told(external, FALSE, 10, 11))


def test_who_lost_everybody_listens_anew() -> None:
    external = known(voices=10)
    external.doubt()
    assert external.host == HOME
    assert not external.confirmed
    assert told(external, MOVED, 3) == [True]


def test_voices_are_bounded_the_oldest_forgotten() -> None:
    external = known(voices=3)
    told(external, HOME, *range(3, 250))
    assert len(external._voices) == MAX_VOICES


@given(seed=st.integers(0, 1 << 20), liars=st.integers(0, 4), honest=st.integers(9, 30))
def test_a_minority_of_networks_never_has_the_last_word(seed: int, liars: int, honest: int) -> None:
    """Whoever comes first: once nine honest networks spoke, four lying ones in league have not convinced us."""
    rng = random.Random(seed)
    words = [(number, HOME) for number in range(honest)] + [(100 + number, FALSE) for number in range(liars)]
    rng.shuffle(words)
    external = ExternalAddress()
    for number, host in words:
        told(external, host, number)
    assert external.host == HOME


def test_who_shares_a_wide_network() -> None:
    assert same_wide_network("8.8.1.1", "8.8.200.1")
    assert not same_wide_network("8.8.1.1", "8.9.1.1")
    assert same_wide_network("2a00:1::1", "2a00:1:ffff::1")
    assert not same_wide_network("2a00:1::1", "2a00:2::1")
    with pytest.raises(ValueError, match="no name"):
        same_wide_network("no name", "8.8.8.8")
