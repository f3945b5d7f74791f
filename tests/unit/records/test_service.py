"""A holder's answers: what it gives, to whom, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from dhtshare.content.keywords import content_key
from dhtshare.dht.messages import Answer, Body, Code, Failure, Handler, Request
from dhtshare.dht.records.copies import Pull, Pulled, Survey, Surveyed, Want
from dhtshare.dht.records.finds import FindEntries, FindProviders, FoundEntries, read_providers
from dhtshare.dht.records.limits import StoreLimits, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.region import Region
from dhtshare.dht.records.service import RecordService
from dhtshare.dht.records.stores import (
    Check,
    CheckedEntry,
    Gone,
    StoreEntries,
    StoreProviders,
    Withdraw,
    read_check,
    read_verdicts,
)
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES, pack
from dhtshare.network import Address, Scope, ScopeRules
from tests.unit.records.records_fakes import NETWORK, WALL, content, entry, key, raws, signer, store, withdrawal

ASKER = Address("10.0.0.2", 4470)
CLAIM = ProviderClaim(5000, b"peerpeer")
KEY = content_key(NETWORK, content(1))


class Holder:
    """One service with its store, asked directly. `now` is monotonic seconds."""

    def __init__(self, scope: Scope = Scope.LAN, limits: StoreLimits | None = None) -> None:
        self.scope = scope
        self.store = store(scope, limits)
        self.own: dict[bytes, ProviderClaim] = {}
        self.now = 1000.0
        self.handlers: dict[int, tuple[Handler, bool, bool]] = {}
        RecordService(
            network=NETWORK,
            scope=scope,
            rules=ScopeRules(),
            store=self.store,
            verifier=Verifier(NETWORK),
            own=self.own,
            now=lambda: self.now,
            record_wall=lambda: WALL + self.now - 1000.0,
        ).register(self)

    def handle(self, method: int, handler: Handler, *, with_contacts: bool = False, needs_proof: bool = False) -> None:
        self.handlers[method] = handler, with_contacts, needs_proof

    def ask(
        self,
        method: RecordMethod,
        body: Body,
        *,
        sender: Address = ASKER,
        proved: bool = True,
        dialled: str | None = "10.0.0.1",
        room: int = 500,
    ) -> Answer:
        more = MAX_DATAGRAM_BYTES - 112 if proved else 0
        address = None if dialled is None else Address(dialled, 4470)
        request = Request(body, sender, b"n" * 20, proved, False, address, self.scope, room, more)
        return self.handlers[method][0](request)

    def parts(self, method: RecordMethod, body: Body, **more: Any) -> list[Body]:
        answer = self.ask(method, body, **more)
        assert not isinstance(answer, Failure)
        return answer if isinstance(answer, list) else [answer]

    def verdicts(self, method: RecordMethod, body: Body, count: int, **more: Any) -> list[Verdict]:
        (part,) = self.parts(method, body, **more)
        return read_verdicts(part, count)

    def provide(self, host: str, port: int = 4470) -> list[Verdict]:
        body = StoreProviders((KEY,), CLAIM).body()
        return self.verdicts(RecordMethod.STORE_PROVIDERS, body, 1, sender=Address(host, port))

    def providers(self, **more: Any) -> set[str]:
        parts = self.parts(RecordMethod.FIND_PROVIDERS, FindProviders(KEY, 2).body(), **more)
        return {str(provider.address) for part in parts for provider in read_providers(part, self.scope)}


def test_whatever_changes_or_draws_much_needs_proof_and_finds_name_contacts() -> None:
    handlers = Holder().handlers
    assert set(handlers) == set(RecordMethod)
    finds = {RecordMethod.FIND_PROVIDERS, RecordMethod.FIND_ENTRIES}
    for method, (_, with_contacts, needs_proof) in handlers.items():
        assert with_contacts == (method in finds)
        assert needs_proof == (method not in finds)


def test_a_provider_is_named_by_the_address_it_stored_from() -> None:
    holder = Holder()
    assert holder.provide("10.0.0.7") == [Verdict.STORED]
    assert holder.providers() == {"10.0.0.7:5000"}


def test_loopback_addresses_are_named_to_loopback_only() -> None:
    holder = Holder()
    holder.provide("127.0.0.1")
    assert holder.providers() == set()
    assert holder.providers(sender=Address("127.0.0.1", 9)) == {"127.0.0.1:5000"}


def test_we_name_ourselves_by_the_address_that_was_dialled() -> None:
    holder = Holder()
    holder.own[KEY] = CLAIM
    assert holder.providers(dialled="10.0.0.1") == {"10.0.0.1:5000"}
    assert holder.providers(dialled=None) == set()
    assert holder.providers(dialled="81.2.3.4") == set()  # an address of another scope
    assert holder.providers(dialled="127.0.0.1") == set()


@pytest.mark.parametrize("proved", [True, False])
def test_many_providers_fill_no_more_than_the_room(proved: bool) -> None:
    holder = Holder()
    for number in range(300):
        holder.provide(f"10.0.{number >> 8}.{number & 255}")
    parts = holder.parts(RecordMethod.FIND_PROVIDERS, FindProviders(KEY, 3).body(), proved=proved)
    assert len(parts) == (3 if proved else 1)
    assert len(pack(parts[0])) <= 500
    assert all(len(pack(part)) <= MAX_DATAGRAM_BYTES - 112 for part in parts)


def test_entries_are_stored_once_under_the_words_asked_for() -> None:
    holder = Holder()
    record = entry(words=("one", "two", "three"))
    body = StoreEntries(((record.raw, b"\0\2"), (entry(2, words=("one",)).raw, b"\0"))).body()
    assert holder.verdicts(RecordMethod.STORE_ENTRIES, body, 3) == [Verdict.STORED] * 3
    assert [len(raws(holder.store, word)) for word in ("one", "two", "three")] == [2, 0, 1]


@pytest.mark.parametrize(
    ("raw", "numbers", "verdict"),
    [
        (bytes(64) + entry().raw[64:], b"\0", Verdict.FORGED),
        (entry().raw, b"\1", Verdict.FORGED),  # it has no second word
        (withdrawal().raw, b"\0", Verdict.FORGED),
        (entry(ttl=-5).raw, b"\0", Verdict.EXPIRED),
        (entry().raw[:-1], b"\0", Verdict.FORGED),
    ],
)
def test_what_is_not_stored_says_why(raw: bytes, numbers: bytes, verdict: Verdict) -> None:
    holder = Holder()
    assert holder.verdicts(RecordMethod.STORE_ENTRIES, StoreEntries(((raw, numbers),)).body(), 1) == [verdict]
    assert holder.store.budget.records == 0


def test_a_bad_record_costs_the_others_of_its_datagram_nothing() -> None:
    holder = Holder()
    body = StoreEntries(((entry(1).raw[:-1], b"\0"), (entry(2).raw, b"\0"))).body()
    assert holder.verdicts(RecordMethod.STORE_ENTRIES, body, 2) == [Verdict.FORGED, Verdict.STORED]


def test_who_stores_too_much_is_told_when_to_come_again() -> None:
    holder = Holder(Scope.IPV4)
    sender = Address("81.2.3.4", 4470)
    keys = [number.to_bytes(20, "big") for number in range(2050)]
    answers = [
        holder.ask(RecordMethod.STORE_PROVIDERS, StoreProviders(tuple(keys[at : at + 50]), CLAIM).body(), sender=sender)
        for at in range(0, 2050, 50)
    ]
    assert all(not isinstance(answer, Failure) for answer in answers[:40])
    busy = answers[40]
    assert isinstance(busy, Failure)
    assert busy.code is Code.BUSY
    assert 1 <= busy.retry_after <= 2
    holder.now += busy.retry_after
    body = StoreProviders(tuple(keys[2000:]), CLAIM).body()
    assert holder.verdicts(RecordMethod.STORE_PROVIDERS, body, 50, sender=sender) == [Verdict.STORED] * 50


def test_a_query_is_intersected_at_the_holder_and_paged() -> None:
    holder = Holder()
    for number in range(60):
        words = ("musica", "popular") if number % 2 else ("musica",)
        record = entry(number, words=words)
        holder.store.put_entry(record, [0], b"net", now=holder.now, wall=WALL)
    request = FindEntries(key("musica"), Query(("musica", "popular")), parts=2)
    found = FoundEntries.read(holder.parts(RecordMethod.FIND_ENTRIES, request.body(), proved=True))
    assert found.count == 30
    assert found.cursor
    rest = FindEntries(key("musica"), Query(("musica", "popular")), found.cursor, 16)
    more = FoundEntries.read(holder.parts(RecordMethod.FIND_ENTRIES, rest.body()))
    assert len(set(found.raws) | set(more.raws)) == 30
    assert more.cursor == b""
    unproved = holder.parts(RecordMethod.FIND_ENTRIES, request.body(), proved=False)
    assert len(unproved) == 1
    assert len(pack(unproved[0])) <= 500
    assert holder.parts(RecordMethod.FIND_ENTRIES, FindEntries(key("x"), Query(("x",))).body()) == [{}]


def test_a_withdrawal_counts_only_with_its_publishers_signature() -> None:
    holder = Holder()
    holder.store.put_entry(entry(), [0], b"net", now=holder.now, wall=WALL)
    for raw, verdict in (
        (bytes(64) + withdrawal().raw[64:], Verdict.FORGED),
        (withdrawal(by=2).raw, Verdict.UNKNOWN),
        (withdrawal().raw, Verdict.STORED),
    ):
        body = Withdraw(((raw, (key("musica"),)),)).body()
        assert holder.verdicts(RecordMethod.WITHDRAW, body, 1) == [verdict]
    assert raws(holder.store, "musica") == [withdrawal().raw]


def test_gone_takes_only_the_senders_own_records() -> None:
    holder = Holder()
    holder.provide("10.0.0.7")
    holder.provide("10.0.0.8")
    assert holder.ask(RecordMethod.GONE, Gone((b"x" * 20,)).body(), sender=Address("10.0.0.7", 4470)) == {2: 0}
    assert holder.ask(RecordMethod.GONE, Gone().body(), sender=Address("10.0.0.7", 4470)) == {2: 1}
    assert holder.providers() == {"10.0.0.8:5000"}


def test_a_check_says_what_is_held_of_whom() -> None:
    holder = Holder()
    record = entry(words=("one", "two", "three"))
    holder.store.put_entry(record, [0, 2], b"net", now=holder.now, wall=WALL)
    holder.provide("10.0.0.2")
    asked = Check(
        signer().public,
        (
            CheckedEntry(key("one"), content(1), b"\0\1\2\7"),
            CheckedEntry(key("one"), content(2), b"\0"),
        ),
        (KEY, b"x" * 20),
    )
    (part,) = holder.parts(RecordMethod.CHECK, asked.body())
    assert read_check(part, 7) == [True, False, True, False, False, True, False]
    (part,) = holder.parts(RecordMethod.CHECK, asked.body(), sender=Address("10.0.0.3", 4470))
    assert read_check(part, 7)[5:] == [False, False]
    holder.store.withdraw(withdrawal(), [key("one")], now=holder.now, wall=WALL)
    (part,) = holder.parts(RecordMethod.CHECK, asked.body())
    assert not any(read_check(part, 7)[:5])


def test_a_neighbour_learns_what_it_lacks_and_gets_exactly_that() -> None:
    holder = Holder()
    for number in range(5):
        holder.store.put_entry(entry(number), [0], b"tag", now=holder.now, wall=WALL)
    survey = Survey(Region(bytes(20), 0), bytes(8))
    surveyed = Surveyed.read(holder.parts(RecordMethod.SURVEY, survey.body()))
    assert [pair[0] for pair in surveyed.pairs] == [key("musica")]
    marks = b"".join(entry(number).raw[:8] for number in (0, 3))
    pulled = Pulled.read(holder.parts(RecordMethod.PULL, Pull((Want(key("musica"), marks),)).body()))
    assert {raw for _, raw, _ in pulled.items} == {entry(number).raw for number in (1, 2, 4)}
    assert {tag for _, _, tag in pulled.items} == {b"tag"}
    assert not pulled.more
