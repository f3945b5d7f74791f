"""Address tokens: how long they live, and to whom and where they are worth something."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.compact import pack_address
from dhtshare.dht.tokens import ROTATION_SECONDS, SAFE_AGE_SECONDS, TokenMint
from dhtshare.dht.wire import TOKEN_BYTES
from dhtshare.network import Address, network_id

NETWORK = network_id("tokens")
HERE = pack_address(Address("81.2.3.4", 4470))


def mint(network: bytes = NETWORK, seed: int = 1, now: float = 0.0) -> TokenMint:
    return TokenMint(network, random.Random(seed), now)


def test_a_token_is_eight_bytes_and_good_where_it_was_given() -> None:
    ours = mint()
    token = ours.make(HERE, 0.0)
    assert len(token) == TOKEN_BYTES
    assert ours.check(token, HERE, 0.0)
    assert ours.make(HERE, ROTATION_SECONDS - 1) == token


@pytest.mark.parametrize(
    "elsewhere",
    [Address("81.2.3.5", 4470), Address("81.2.3.4", 4471), Address("::1", 4470), Address("2a00::5102:304", 4470)],
    ids=str,
)
def test_it_is_bound_to_address_and_port(elsewhere: Address) -> None:
    ours = mint()
    assert not ours.check(ours.make(HERE, 0.0), pack_address(elsewhere), 0.0)


def test_it_is_bound_to_the_network_and_to_the_node() -> None:
    token = mint().make(HERE, 0.0)
    assert not mint(network_id("another")).check(token, HERE, 0.0), "the same secrets, another network"
    assert not mint(seed=2).check(token, HERE, 0.0)


@pytest.mark.parametrize("forged", [b"", bytes(7), bytes(8), bytes(9), bytes(64)], ids=len)
def test_what_was_never_given_is_none(forged: bytes) -> None:
    assert not mint().check(forged, HERE, 0.0)


@pytest.mark.parametrize("given", [0.0, 1.0, 150.0, 299.0])
def test_it_lives_five_minutes_for_sure_and_ten_at_most(given: float) -> None:
    ours = mint()
    token = ours.make(HERE, given)
    # a busy node: it makes tokens all the time, so that its secrets change when they are due
    for now in range(int(given), 1300, 10):
        ours.make(HERE, float(now))
        valid = ours.check(token, HERE, float(now))
        age = now - given
        if age < SAFE_AGE_SECONDS:
            assert valid, age
        if age > 2 * ROTATION_SECONDS:
            assert not valid, age


@pytest.mark.parametrize("pause", [301.0, 599.0, 601.0, 10_000.0])
def test_an_idle_node_forgets_too(pause: float) -> None:
    """Nobody asks for a while, and the first who does brings an old token."""
    ours = mint()
    token = ours.make(HERE, 0.0)
    assert ours.check(token, HERE, pause) == (pause < 2 * ROTATION_SECONDS)


def test_every_secret_gives_other_tokens() -> None:
    ours = mint()
    tokens = {ours.make(HERE, now * ROTATION_SECONDS) for now in range(20)}
    assert len(tokens) == 20


def test_one_token_tells_nothing_of_another() -> None:
    ours = mint()
    tokens = {ours.make(pack_address(Address(f"10.0.{n >> 8}.{n & 255}", 4470)), 0.0) for n in range(3000)}
    assert len(tokens) == 3000
