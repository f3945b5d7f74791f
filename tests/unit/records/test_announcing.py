"""When records are due, whom a region's keys go to, and what a receipt says."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.records.agenda import (
    JITTER,
    MAX_RETRY_SECONDS,
    RETRY_SECONDS,
    TOGETHER,
    UNDER_WAY,
    Agenda,
    Shared,
)
from dhtshare.dht.records.limits import ENTRY_PERIOD, PROVIDER_PERIOD
from dhtshare.dht.records.receipts import ReceiptTally
from dhtshare.dht.records.sweep import PLAIN_K, SWEEP_K, Sweep, lookup_width, spans
from dhtshare.network import Address

A, B = b"a" * 32, b"b" * 32


def contact(number: int, rng: random.Random) -> Contact:
    return Contact(rng.randbytes(20), Address(f"10.0.{number >> 8}.{number & 255}", 4470))


def go_out(agenda: Agenda, now: float, *, quorum: bool = True) -> list[Shared]:
    """One round of everything that is due."""
    due = agenda.take_due(now)
    for shared in {*due.providers, *due.entries}:
        agenda.announced(shared, now, provider=shared in due.providers, entry=shared in due.entries, quorum=quorum)
    return [*due.providers]


def test_what_is_shared_is_due_at_once_and_then_long_before_it_expires() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("word",), partial=False, now=100.0, entry_at=None)
    (shared,) = go_out(agenda, 100.0)
    assert not agenda.take_due(100.0)
    assert (1 - JITTER) * PROVIDER_PERIOD <= shared.provider_at - 100.0 <= PROVIDER_PERIOD
    assert shared.entry_at is not None
    assert (1 - JITTER) * ENTRY_PERIOD <= shared.entry_at - 100.0 <= ENTRY_PERIOD
    assert agenda.next_due() == shared.provider_at


def test_what_is_under_way_is_not_due_again() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("word",), partial=False, now=0.0, entry_at=None)
    assert len(agenda.take_due(0.0).entries) == 1
    assert not agenda.take_due(1e6)
    assert agenda.next_due() == UNDER_WAY


def test_what_becomes_due_while_it_is_under_way_stays_due() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, (), partial=False, now=0.0, entry_at=None)
    due = agenda.take_due(0.0)
    agenda.all_due(5.0)
    agenda.announced(due.providers[0], 9.0, provider=True, entry=False, quorum=True)
    assert agenda.next_due() == 5.0


def test_a_library_is_renewed_together() -> None:
    agenda = Agenda(random.Random(1))
    for number in range(100):
        agenda.share(number.to_bytes(32, "big"), (), partial=False, now=0.0, entry_at=None)
    go_out(agenda, 0.0)
    first = agenda.next_due()
    assert first is not None
    assert len(go_out(agenda, first)) == 100  # the jitter of one is no wider than what goes out together


def test_a_restart_makes_no_storm() -> None:
    agenda = Agenda(random.Random(1))
    step = TOGETHER * ENTRY_PERIOD / 10
    for number in range(100):
        agenda.share(number.to_bytes(32, "big"), ("w",), partial=False, now=0.0, entry_at=ENTRY_PERIOD / 2 + number)
    due = agenda.take_due(0.0)
    assert (len(due.providers), len(due.entries)) == (100, 0)
    assert len(agenda.take_due(ENTRY_PERIOD / 2).entries) == 100
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=step * 9)
    assert len(agenda.take_due(0.0).entries) == 1  # due soon: with the provider record that is due now


def test_a_due_time_from_a_clock_that_was_ahead_is_not_believed() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=1e9)
    assert agenda.take_due(ENTRY_PERIOD).entries


def test_below_quorum_it_is_tried_again_soon_then_less_often() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, (), partial=False, now=0.0, entry_at=None)
    waits = []
    for _ in range(8):
        now = agenda.next_due()
        assert now is not None
        (shared,) = go_out(agenda, now, quorum=False)
        waits.append(shared.provider_at - now)
    assert waits[:2] == [RETRY_SECONDS, 2 * RETRY_SECONDS]
    assert max(waits) == MAX_RETRY_SECONDS


def test_nothing_is_due_of_what_is_shared_no_more() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=None)
    assert agenda.unshare(A) is not None
    assert agenda.unshare(A) is None
    assert agenda.next_due() is None


def test_one_lookup_covers_all_keys_of_a_small_network() -> None:
    rng = random.Random(2)
    nodes = [contact(number, rng) for number in range(8)]
    keys = [rng.randbytes(20) for _ in range(500)]
    sweep = Sweep(keys, dict.fromkeys(keys, 10))
    target = sweep.next_target()
    assert target == min(keys)
    holders = sweep.covered(target, nodes, 20)
    assert set(holders) == set(keys)
    assert all(set(found) == set(nodes) for found in holders.values())
    assert sweep.next_target() is None


@pytest.mark.parametrize(("wanted", "k", "most_lookups"), [(10, 40, 60), (20, 40, 60)])
def test_a_sweep_gives_every_key_its_closest_nodes_with_few_lookups(wanted: int, k: int, most_lookups: int) -> None:
    rng = random.Random(3)
    nodes = [contact(number, rng) for number in range(1000)]
    keys = [rng.randbytes(20) for _ in range(2000)]
    sweep = Sweep(keys, dict.fromkeys(keys, wanted))
    lookups, right = 0, 0
    covered: set[bytes] = set()
    while (target := sweep.next_target()) is not None:
        lookups += 1
        closest = sorted(nodes, key=lambda node: distance(node.node_id, target))[:k]
        for key, holders in sweep.covered(target, closest, k).items():
            assert key not in covered
            assert len(holders) == wanted
            covered.add(key)
            true = set(sorted(nodes, key=lambda node: distance(node.node_id, key))[:wanted])
            right += len(true & set(holders))
    assert covered == set(keys)
    assert lookups <= most_lookups  # of 2,000 keys; one each would be 2,000
    assert right / (wanted * len(keys)) > 0.97


def test_few_keys_are_looked_up_one_by_one_and_rightly() -> None:
    rng = random.Random(4)
    nodes = [contact(number, rng) for number in range(1000)]
    keys = [rng.randbytes(20) for _ in range(7)]
    sweep = Sweep(keys, dict.fromkeys(keys, 20))
    while (target := sweep.next_target()) is not None:
        closest = sorted(nodes, key=lambda node: distance(node.node_id, target))[:20]
        assert sweep.covered(target, closest, 20) == {target: closest}


def test_a_crowded_region_is_stored_to_twice_as_wide() -> None:
    rng = random.Random(5)
    nodes = sorted((contact(number, rng) for number in range(100)), key=lambda node: distance(node.node_id, A[:20]))
    sweep = Sweep([A[:20]], {A[:20]: 10})
    assert sweep.covered(A[:20], nodes[:40], 20, factor=2) == {A[:20]: nodes[:20]}


def test_lookups_are_wide_only_where_regions_hold_several_keys() -> None:
    assert lookup_width(7, 1000) == PLAIN_K
    assert lookup_width(51, 1000) == SWEEP_K
    assert lookup_width(1, 1) == SWEEP_K


def test_spans_share_the_keys_out_in_order() -> None:
    keys = [bytes([number]) for number in range(20)]
    for nodes, count in ((10_000, 7), (10, 1), (300, 1), (350, 2)):
        cut = spans(reversed(keys), nodes)
        assert [key for span in cut for key in span] == keys
        assert len(cut) == count
    assert spans([], 100) == []


def test_a_receipt_counts_keys_acks_holders_and_reads_back() -> None:
    rng = random.Random(4)
    tally = ReceiptTally()
    key, other = tally.add(b"k" * 20, 20), tally.add(b"l" * 20, 10, "word")
    key.servers, key.acks, key.verified = 3, 2, True
    other.servers, other.acks = 3, 2
    tally.holders = {contact(number, rng).address for number in range(3)}
    receipt = tally.receipt(7.0)
    assert (receipt.keys, receipt.acks, receipt.holders, receipt.verified) == (2, 4, 3, 1)
    assert (receipt.quorum, receipt.alone, receipt.full, receipt.next_renewal) == (True, False, (), 7.0)


def test_one_key_in_two_scopes_is_one_key() -> None:
    tally = ReceiptTally()
    for verified in (True, True):
        one = tally.add(b"k" * 20, 10)
        one.servers, one.acks, one.verified = 4, 4, verified
    receipt = tally.receipt(0.0)
    assert (receipt.keys, receipt.acks, receipt.verified) == (1, 8, 1)


def test_half_is_no_quorum_and_a_full_word_does_not_count_against_it() -> None:
    tally = ReceiptTally()
    key = tally.add(b"k" * 20, 10, "mp3")
    key.servers, key.acks = 4, 2
    assert not tally.receipt(0.0).quorum
    key.full = 1
    assert tally.receipt(0.0).quorum
    assert tally.receipt(0.0).full == ("mp3",)


def test_alone_is_said_and_is_no_failure() -> None:
    tally = ReceiptTally()
    tally.add(b"k" * 20, 10)
    assert tally.receipt(0.0).alone
    assert tally.receipt(0.0).quorum
