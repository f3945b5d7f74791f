"""Provider records: one of each address, caps, fairness, and going."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.records.limits import MAX_PROVIDERS_PER_ADDRESS, PROVIDER_TTL, StoreLimits, Verdict
from dhtshare.dht.records.provider import (
    ProviderClaim,
    answer,
    answered,
    keep,
    read_answers,
    source_of,
    tag_of,
)
from dhtshare.network import Address, Scope, network_tag
from tests.unit.records.records_fakes import store

KEY = b"k" * 20
CLAIM = ProviderClaim(5000, b"peerpeer")
NOW = 50.0


def at(number: int, port: int = 4470) -> Address:
    return Address(f"10.0.{number >> 8}.{number & 255}", port)


@pytest.mark.parametrize("host", ["10.1.2.3", "2001:db8::7", "fe80::1"])
def test_the_holder_answers_the_address_that_it_saw_with_the_port_told(host: str) -> None:
    kept = store()
    kept.put_provider(KEY, Address(host, 9), ProviderClaim(5000, b"peerpeer", partial=True), now=NOW)
    (record,) = kept.find_providers(KEY, 9, now=NOW)
    named, raw = answered(record)
    assert named == host
    split = (raw, b"") if "." in host else (b"", raw)
    (provider,) = read_answers(*split, Scope.LAN)
    assert (provider.address, provider.peer, provider.partial) == (Address(host, 5000), b"peerpeer", True)


def test_an_answer_about_ourselves_reads_the_same() -> None:
    (provider,) = read_answers(answer("10.0.0.9", CLAIM), b"", Scope.LAN)
    assert provider.address == Address("10.0.0.9", 5000)
    assert list(read_answers(answer("10.0.0.9", CLAIM)[:-1], b"", Scope.LAN)) == []
    assert list(read_answers(answer("10.0.0.9", ProviderClaim(0, b"peerpeer")), b"", Scope.LAN)) == []


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("host", ["81.2.3.4", "2a00:1:2:3::4"])
def test_the_tag_of_a_record_is_its_hosts_network(host: str, scope: Scope) -> None:
    assert tag_of(source_of(Address(host, 1)), scope) == network_tag(host, scope)


def test_one_address_has_one_record_and_renews_it() -> None:
    kept = store()
    kept.put_provider(KEY, at(1), CLAIM, now=NOW)
    kept.put_provider(KEY, at(1), ProviderClaim(6000, b"peerpeer"), now=NOW + 100)
    (record,) = kept.find_providers(KEY, 9, now=NOW + PROVIDER_TTL)
    assert record == keep(source_of(at(1)), ProviderClaim(6000, b"peerpeer"), NOW + 100 + PROVIDER_TTL)
    assert kept.find_providers(KEY, 9, now=NOW + 100 + PROVIDER_TTL) == []


def test_samples_are_by_chance_so_that_everybody_is_named_some_time() -> None:
    kept = store()
    for number in range(30):
        kept.put_provider(KEY, at(number), CLAIM, now=NOW)
    rng = random.Random(1)
    seen = {record for _ in range(40) for record in kept.providers.sample(KEY, NOW, 5, rng)}
    assert len(seen) == 30
    assert len(kept.find_providers(KEY, 5, now=NOW)) == 5


def test_a_full_key_refuses_its_own_crowd_but_takes_a_new_network() -> None:
    kept = store(Scope.IPV4, StoreLimits(providers_per_key=10))
    for number in range(10):
        assert kept.put_provider(KEY, Address(f"81.1.1.{number}", 4470), CLAIM, now=NOW + number) is Verdict.STORED
    assert kept.put_provider(KEY, Address("81.1.1.99", 4470), CLAIM, now=NOW) is Verdict.FULL
    assert kept.put_provider(KEY, Address("92.1.1.1", 4470), CLAIM, now=NOW) is Verdict.STORED
    hosts = [answered(record)[0] for record in kept.find_providers(KEY, 99, now=NOW)]
    assert len(hosts) == 10
    assert "81.1.1.0" not in hosts  # the oldest of the crowd
    assert kept.budget.records == 10


def test_past_records_make_room_before_anybody_is_refused() -> None:
    kept = store(limits=StoreLimits(providers_per_key=2))
    kept.put_provider(KEY, at(1, 1), CLAIM, now=NOW)
    kept.put_provider(KEY, at(1, 2), CLAIM, now=NOW)
    later = NOW + PROVIDER_TTL + 1
    assert kept.put_provider(KEY, at(1, 3), CLAIM, now=later) is Verdict.STORED
    assert kept.budget.records == 1


def test_global_scopes_refuse_system_ports_and_many_records_of_one_machine() -> None:
    kept = store(Scope.IPV4)
    assert kept.put_provider(KEY, at(1), ProviderClaim(22, b"peerpeer"), now=NOW) is Verdict.FORGED
    verdicts = [kept.put_provider(KEY, at(1, port), CLAIM, now=NOW) for port in range(1, 18)]
    assert verdicts == [Verdict.STORED] * 16 + [Verdict.FULL]


def test_one_machine_stands_no_oftener_in_a_full_key() -> None:
    """Its network has fewer than another one, so a place would be made for it, were it not there often enough."""
    kept = store(Scope.IPV4, StoreLimits(providers_per_key=40))
    for number in range(24):
        assert kept.put_provider(KEY, Address(f"93.0.0.{number}", 4470), CLAIM, now=NOW) is Verdict.STORED
    for port in range(MAX_PROVIDERS_PER_ADDRESS):
        assert kept.put_provider(KEY, Address("8.8.8.8", 5000 + port), CLAIM, now=NOW) is Verdict.STORED
    assert kept.put_provider(KEY, Address("8.8.8.8", 6000), CLAIM, now=NOW) is Verdict.FULL
    assert kept.put_provider(KEY, Address("8.8.8.8", 5000), CLAIM, now=NOW) is Verdict.STORED  # renewed
    assert kept.put_provider(KEY, Address("8.8.4.4", 4470), CLAIM, now=NOW) is Verdict.STORED
    assert len(kept.providers.live(KEY, NOW)) == 40


def test_who_goes_takes_all_or_the_named_records_and_nobody_elses() -> None:
    kept = store()
    keys = [bytes([number]) * 20 for number in range(3)]
    for one in keys:
        kept.put_provider(one, at(1), CLAIM, now=NOW)
        kept.put_provider(one, at(2), CLAIM, now=NOW)
    assert kept.providers.gone(at(1), [keys[0], b"x" * 20]) == 1
    assert kept.providers.gone(at(1), None) == 2
    assert [len(kept.find_providers(one, 9, now=NOW)) for one in keys] == [1, 1, 1]
    assert kept.providers.has(keys[0], at(2), NOW)
    assert not kept.providers.has(keys[0], at(1), NOW)
    assert kept.providers.gone(at(2), None) == 3
    assert (kept.budget.records, kept.budget.bytes) == (0, 0)


def test_expiry_lets_go_what_is_past() -> None:
    kept = store()
    kept.put_provider(KEY, at(1), CLAIM, now=NOW)
    kept.put_provider(KEY, at(2), CLAIM, now=NOW + 10)
    assert kept.expire(now=NOW + PROVIDER_TTL) == 1
    assert kept.budget.records == 1


def test_entries_and_providers_share_the_caps() -> None:
    kept = store(limits=StoreLimits(records=3))
    for number in range(3):
        kept.put_provider(bytes([number]) * 20, at(7), CLAIM, now=NOW + number)
    assert kept.put_provider(KEY, at(8), CLAIM, now=NOW + 9) is Verdict.STORED
    assert kept.budget.records == 3
    assert kept.find_providers(bytes(20), 9, now=NOW) == []  # the oldest of the heavier network went


def test_time_that_the_clock_knows_nothing_of_shortens_every_life() -> None:
    kept = store()
    for number in range(3):
        kept.put_provider(KEY, at(number), CLAIM, now=NOW + number * 100)
    kept.elapse(PROVIDER_TTL - 150.0)
    assert [kept.providers.has(KEY, at(number), NOW + 200.0) for number in range(3)] == [False, True, True]
    kept.elapse(1e6)
    assert kept.providers.live(KEY, NOW) == []
    assert kept.expire(now=NOW) == 3
    assert kept.budget.records == 0
