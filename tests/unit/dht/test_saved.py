"""What a restart needs, as bytes: round trips, damage, growth, nothing that runs when it is read."""

from __future__ import annotations

import contextlib
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.dht.contact import Contact
from dhtshare.dht.saved import (
    MAX_SAVED_CONTACTS,
    MAX_STATE_BYTES,
    SavedScope,
    decode_state,
    encode_state,
)
from dhtshare.dht.wire import pack, unpack
from dhtshare.errors import MalformedError
from dhtshare.network import Address, Scope, make_address

NETWORK = b"abcd"


def saved(count: int = 3, host: str | None = "8.8.8.8", ipv6: bool = False) -> SavedScope:
    rng = random.Random(count)
    contacts = tuple(
        Contact(rng.randbytes(20), make_address(f"2a00::{n + 1:x}" if ipv6 else f"10.0.{n >> 8}.{n & 255}", 4470))
        for n in range(count)
    )
    return SavedScope(rng.randbytes(20), host, contacts)


def test_every_scope_comes_back_as_it_was() -> None:
    scopes = {Scope.LAN: saved(5, host=None), Scope.IPV4: saved(7), Scope.IPV6: saved(2, "2a00::5", ipv6=True)}
    assert decode_state(encode_state(NETWORK, scopes), NETWORK) == scopes


def test_the_liveliest_are_kept_when_there_are_too_many() -> None:
    scope = saved(MAX_SAVED_CONTACTS + 50)
    again = decode_state(encode_state(NETWORK, {Scope.LAN: scope}), NETWORK)[Scope.LAN]
    assert again.contacts == scope.contacts[:MAX_SAVED_CONTACTS]


def test_hundreds_of_contacts_take_few_bytes() -> None:
    scopes = {scope: saved(MAX_SAVED_CONTACTS) for scope in Scope}
    assert len(encode_state(NETWORK, scopes)) < 64_000 < MAX_STATE_BYTES


def test_another_network_s_state_is_no_error_and_of_no_use() -> None:
    assert decode_state(encode_state(NETWORK, {Scope.LAN: saved()}), b"wxyz") == {}


def test_what_a_newer_version_adds_under_odd_keys_is_ignored() -> None:
    fields = unpack(encode_state(NETWORK, {Scope.LAN: saved()}))
    assert isinstance(fields, dict)
    fields[9] = "new"
    fields[4]["lan"][11] = [1, 2]
    fields[4]["a new scope"] = 7
    assert decode_state(pack(fields), NETWORK) == {Scope.LAN: saved()}


def test_reading_a_state_file_runs_nothing() -> None:
    """Stock unpickled it: whoever could write the file could run code as the node."""

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("the state file was unpickled",))

    with pytest.raises(MalformedError):
        decode_state(pickle.dumps({"neighbors": Trap()}), NETWORK)


def _with(change: object, *path: object) -> bytes:
    fields = unpack(encode_state(NETWORK, {Scope.LAN: saved()}))
    assert isinstance(fields, dict)
    place = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = change
    return pack(fields)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        pack([1, 2]),
        pack({}),
        _with(2, 0),  # another version
        _with(1, 6),  # an unknown even key
        _with([], 4),
        _with(7, 4, "lan"),
        _with(1, 4, "lan", 8),
        _with(bytes(19), 4, "lan", 2),
        _with("an id", 4, "lan", 2),
        _with("no literal", 4, "lan", 3),
        _with(7, 4, "lan", 3),
        _with("text", 4, "lan", 5),
        _with(None, 4, "lan", 7),
        bytes(MAX_STATE_BYTES + 1),
    ],
)
def test_damage_is_said(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_state(raw, NETWORK)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_state_or_malformed(raw: bytes) -> None:
    with contextlib.suppress(MalformedError):
        decode_state(raw, NETWORK)


@given(position=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_a_flipped_bit_is_survived(position: int, bit: int) -> None:
    raw = bytearray(encode_state(NETWORK, {Scope.LAN: saved(), Scope.IPV4: saved(4)}))
    raw[position % len(raw)] ^= 1 << bit
    try:
        scopes = decode_state(bytes(raw), NETWORK)
    except MalformedError:
        return
    for scope in scopes.values():
        assert len(scope.node_id) == 20
        assert all(type(contact.address) is Address for contact in scope.contacts)
