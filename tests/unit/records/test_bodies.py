"""What is asked and answered about records: there and back, within a datagram, and refused where malformed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dhtshare.content.format import Kind
from dhtshare.dht.messages import Body
from dhtshare.dht.records.copies import (
    MAX_MARKS_BYTES,
    MAX_PAIRS,
    Pull,
    Pulled,
    Survey,
    Surveyed,
    Want,
    pulled_bodies,
)
from dhtshare.dht.records.finds import (
    FindEntries,
    FindProviders,
    FoundEntries,
    entries_bodies,
    providers_body,
    read_providers,
)
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.paging import CURSOR_BYTES, DIGEST_BYTES
from dhtshare.dht.records.provider import ProviderClaim, answer
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.region import Region
from dhtshare.dht.records.signed import PLACE_BYTES
from dhtshare.dht.records.stores import (
    BODY_BYTES,
    MAX_ITEMS,
    MAX_KEYS,
    Check,
    CheckedEntry,
    Gone,
    StoreEntries,
    StoreProviders,
    Withdraw,
    read_check,
    read_verdicts,
    verdicts_body,
)
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES, UnsupportedError, pack, unpack
from dhtshare.errors import MalformedError
from dhtshare.network import Scope
from tests.unit.records.records_fakes import entry, withdrawal

KEY = b"k" * 20
CLAIM = ProviderClaim(4470, b"peerpeer", partial=True)
CURSOR = b"c" * CURSOR_BYTES
EVERY_FILTER = Query(("popular", "musica"), Kind.COLLECTION, "mp3", 1, 1 << 50)

REQUESTS: list[Any] = [
    FindProviders(KEY),
    FindProviders(KEY, 16),
    FindEntries(KEY, Query(("musica",))),
    FindEntries(KEY, EVERY_FILTER, CURSOR, 16),
    StoreProviders((KEY,), ProviderClaim(1, b"peerpeer")),
    StoreProviders(tuple(bytes([number]) * 20 for number in range(MAX_KEYS)), CLAIM),
    StoreEntries(((entry().raw, b"\0"), (entry(2).raw, bytes(range(32))))),
    Withdraw(((withdrawal().raw, (KEY, b"l" * 20)),)),
    Gone(),
    Gone((KEY,)),
    Check(b"p" * 32, (CheckedEntry(KEY, b"c" * 32, b"\0\1"),), (KEY,)),
    Check(b"p" * 32, (), tuple(bytes([number]) * 20 for number in range(MAX_KEYS))),
    Survey(Region(KEY, 7), b"d" * 8),
    Pull((Want(KEY),)),
    Pull((Want(KEY, b"m" * MAX_MARKS_BYTES, b"a" * PLACE_BYTES, b"u" * PLACE_BYTES),)),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_comes_back_as_it_went_and_fits_a_datagram(request_: Any) -> None:
    raw = pack(request_.body())
    assert len(raw) <= BODY_BYTES + 20
    body = unpack(raw)
    assert isinstance(body, dict)
    assert type(request_).read(body) == request_


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_the_growth_rule_holds_for_every_body(request_: Any) -> None:
    body = request_.body()
    assert type(request_).read(body | {101: "later"}) == request_
    with pytest.raises(UnsupportedError):
        type(request_).read(body | {100: "later"})


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (FindProviders.read, {}),
        (FindProviders.read, {2: b"short"}),
        (FindProviders.read, {2: KEY, 8: 17}),
        (FindEntries.read, {2: KEY, 4: ["w" * 65]}),
        (FindEntries.read, {2: KEY, 4: [""]}),
        (FindEntries.read, {2: KEY, 4: [b"bytes"]}),
        (FindEntries.read, {2: KEY, 4: ["w"] * 9}),
        (FindEntries.read, {2: KEY, 4: "words"}),
        (FindEntries.read, {2: KEY, 6: b"cursor"}),
        (FindEntries.read, {2: KEY, 3: 2}),
        (FindEntries.read, {2: KEY, 7: -1}),
        (FindEntries.read, {2: KEY, 7: True}),
        (StoreProviders.read, {2: KEY + b"torn", 4: 1, 6: b"peerpeer"}),
        (StoreProviders.read, {2: KEY * (MAX_KEYS + 1), 4: 1, 6: b"peerpeer"}),
        (StoreProviders.read, {2: KEY, 4: 0, 6: b"peerpeer"}),
        (StoreProviders.read, {2: KEY, 4: 65536, 6: b"peerpeer"}),
        (StoreProviders.read, {2: KEY, 4: 1, 6: b"peer"}),
        (StoreEntries.read, {2: [[entry().raw]]}),
        (StoreEntries.read, {2: [[entry().raw, b""]]}),
        (StoreEntries.read, {2: [[b"short", b"\0"]]}),
        (StoreEntries.read, {2: [[entry().raw, b"\0"]] * (MAX_ITEMS + 1)}),
        (StoreEntries.read, {2: [entry().raw]}),
        (Withdraw.read, {2: [[withdrawal().raw, KEY + b"x"]]}),
        (Gone.read, {2: b"x"}),
        (Check.read, {2: b"p"}),
        (Check.read, {2: b"p" * 32, 4: [[KEY, b"c", b"\0"]]}),
        (Survey.read, {2: KEY, 4: 161, 6: b"d" * 8}),
        (Survey.read, {2: KEY, 4: 1}),
        (Pull.read, {2: [[KEY, b"", b""]]}),
        (Pull.read, {2: [[KEY, b"", b"", b"m" * (MAX_MARKS_BYTES + 1)]]}),
    ],
)
def test_malformed_bodies_are_refused(read: Callable[[Body], object], body: Body) -> None:
    with pytest.raises(MalformedError):
        read(body)


def test_a_provider_answer_says_who_and_where() -> None:
    body = providers_body([answer("10.0.0.1", CLAIM), answer("fd00::1", CLAIM)])
    found = read_providers(body, Scope.LAN)
    assert [str(provider.address) for provider in found] == ["10.0.0.1:4470", "[fd00::1]:4470"]
    assert all(provider.partial and provider.peer == b"peerpeer" for provider in found)
    assert read_providers({}, Scope.LAN) == []


def test_an_entry_answer_is_one_whatever_its_parts() -> None:
    bodies = entries_bodies(b"d" * DIGEST_BYTES, 7, CURSOR, [[entry(1).raw], [entry(2).raw, entry(3).raw]])
    assert all(len(pack(body)) < MAX_DATAGRAM_BYTES for body in bodies)
    read = FoundEntries.read(bodies)
    assert read == FoundEntries(b"d" * DIGEST_BYTES, 7, CURSOR, (entry(1).raw, entry(2).raw, entry(3).raw))
    assert FoundEntries.read([{}]) == FoundEntries(b"", 0, b"", ())
    with pytest.raises(MalformedError):
        FoundEntries.read([{8: ["no bytes"]}])


def test_verdicts_are_one_a_record_and_what_is_unknown_is_no_acknowledgement() -> None:
    assert read_verdicts(verdicts_body([Verdict.STORED, Verdict.FULL]), 2) == [Verdict.STORED, Verdict.FULL]
    assert read_verdicts({2: b"\x63"}, 1) == [Verdict.UNKNOWN]
    assert read_check({2: b"\0\1"}, 2) == [False, True]
    for count in (0, 2):
        with pytest.raises(MalformedError):
            read_verdicts({2: b"\0"}, count)


def test_a_survey_of_many_keys_takes_several_datagrams() -> None:
    pairs = tuple((number.to_bytes(20, "big"), b"digest00") for number in range(2 * MAX_PAIRS + 1))
    bodies = Surveyed(pairs).bodies()
    assert len(bodies) == 3
    assert all(len(pack(body)) <= MAX_DATAGRAM_BYTES - 112 for body in bodies)
    for one in (Surveyed(pairs), Surveyed(), Surveyed(same=True), Surveyed(many=True)):
        assert Surveyed.read(one.bodies()) == one


def test_pulled_records_name_their_key() -> None:
    bodies = pulled_bodies([[(0, entry(1).raw, b"net")], [(31, entry(2).raw, b"")]], True)
    assert Pulled.read(bodies) == Pulled(((0, entry(1).raw, b"net"), (31, entry(2).raw, b"")), True)
    for item in ([32, entry().raw, b""], [0, entry().raw, b"t" * 17], [0, b"short", b""], [0, entry().raw]):
        with pytest.raises(MalformedError):
            Pulled.read([{2: [item]}])
