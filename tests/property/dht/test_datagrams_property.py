"""What holds for any message and any pace: datagrams come back as they went, meters count as a plain bucket does."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.dht.calls import Call, Listener
from dhtshare.dht.compact import pack_address, pack_contacts, unpack_address, unpack_contacts
from dhtshare.dht.contact import Contact
from dhtshare.dht.rates import RateMeter
from dhtshare.dht.wire import (
    MAX_CONTACTS,
    MAX_DATAGRAM_BYTES,
    MAX_PARTS,
    UNPROVED_REQUEST_BYTES,
    RequestMessage,
    ResponseMessage,
    datagram_type,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    message_id,
)
from dhtshare.errors import MalformedError
from dhtshare.network import Address

NETWORK = b"netw"
ids = st.binary(min_size=20, max_size=20)
tokens = st.sampled_from([b"", b"tokentok"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 200), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.integers(-(1 << 63), (1 << 64) - 1), values, max_size=6)
hosts = st.ip_addresses().filter(lambda ip: ip.version == 4 or ip.ipv4_mapped is None).map(str)
addresses = st.builds(Address, hosts, st.integers(1, 65535))
contacts = st.lists(st.builds(Contact, ids, addresses), max_size=MAX_CONTACTS)


@given(st.integers(0, 65535), ids, bodies, st.booleans(), tokens, st.none() | addresses, ids)
def test_requests_come_back(
    method: int, node_id: bytes, body: dict[int, object], client: bool, token: bytes, at: Address | None, number: bytes
) -> None:
    message = RequestMessage(method, node_id, body, client, token, at)
    with contextlib.suppress(ValueError):
        data = encode_request(NETWORK, number, message)
        assert len(data) <= MAX_DATAGRAM_BYTES
        assert token or len(data) >= UNPROVED_REQUEST_BYTES
        assert datagram_type(data, NETWORK) == 0
        assert message_id(data) == number
        assert decode_request(data) == message


@given(ids, bodies, tokens, contacts, st.none() | addresses, st.integers(0, 1 << 40), st.integers(1, MAX_PARTS), ids)
def test_answers_come_back(
    node_id: bytes,
    body: dict[int, object],
    token: bytes,
    named: list[Contact],
    seen: Address | None,
    wall: int,
    parts: int,
    number: bytes,
) -> None:
    four, six = pack_contacts(named)
    message = ResponseMessage(node_id, body, 0, 0, token, four, six, seen, wall, parts - 1, parts)
    with contextlib.suppress(ValueError):
        data = encode_response(NETWORK, number, message)
        assert len(data) <= MAX_DATAGRAM_BYTES
        assert decode_response(data) == message
        assert sorted(unpack_contacts(four, six)) == sorted(named)


@given(addresses)
def test_addresses_come_back(address: Address) -> None:
    assert unpack_address(pack_address(address)) == address


@given(st.binary(max_size=40))
def test_any_bytes_are_an_address_in_one_form_or_none(raw: bytes) -> None:
    address = unpack_address(raw)
    if address is not None:
        assert 0 < address.port < 65536
        assert str(ipaddress.ip_address(address.host)) == address.host


@given(st.binary(max_size=300), st.sampled_from([decode_request, decode_response]))
def test_any_bytes_are_a_message_or_malformed(raw: bytes, decode: object) -> None:
    with contextlib.suppress(MalformedError):
        decode(bytes(25) + raw)  # type: ignore[operator]


@given(st.permutations(range(7)), st.integers(0, 6))
def test_parts_make_the_same_answer_in_any_order_and_however_often(order: list[int], twice: int) -> None:
    call = Call(bytes(20), Contact(b"", Address("::1", 1)), b"", Listener(*[lambda *_: None] * 3), 1.0)
    complete = [call.take(ResponseMessage(bytes(20), {2: n}, part=n, parts=7)) for n in [*order[:3], order[twice % 3]]]
    complete += [call.take(ResponseMessage(bytes(20), {2: n}, part=n, parts=7)) for n in order[3:]]
    assert complete == [False] * 7 + [True]
    _, bodies, whole = call.answer
    assert whole
    assert [body[2] for body in bodies] == list(range(7))


class PlainBucket:
    """The textbook's: so many units, filled up at a rate, never above the burst."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.units, self.at = float(burst), 0.0

    def take(self, now: float, cost: int) -> float:
        self.units = min(self.burst, self.units + (now - self.at) * self.rate)
        self.at = now
        if self.units + 1e-6 >= cost:
            self.units -= cost
            return 0.0
        return (cost - self.units) / self.rate


@given(
    st.sampled_from([(10.0, 50), (50.0, 200), (1 / 600, 1), (2.0, 7)]),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=80),
)
def test_a_meter_counts_as_a_plain_bucket_does(shape: tuple[float, int], steps: list[tuple[int, int]]) -> None:
    meter, plain, now = RateMeter(*shape), PlainBucket(*shape), 0.0
    for tenths, cost in steps:
        now += tenths / 10
        expected = plain.take(now, cost)
        wait = meter.take("key", now, cost)
        assert (wait == 0) == (expected == 0)
        if cost <= shape[1]:
            assert wait == pytest.approx(expected, abs=1e-5)
