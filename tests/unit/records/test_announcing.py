"""When records are due, whom a region's keys go to, and what a receipt says."""

from __future__ import annotations

import random

from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.records.agenda import JITTER, MAX_RETRY_SECONDS, RETRY_SECONDS, Agenda
from dhtshare.dht.records.limits import ENTRY_PERIOD, PROVIDER_PERIOD
from dhtshare.dht.records.receipts import ReceiptTally
from dhtshare.dht.records.sweep import Sweep
from dhtshare.network import Address

A, B = b"a" * 32, b"b" * 32


def contact(number: int, rng: random.Random) -> Contact:
    return Contact(rng.randbytes(20), Address(f"10.0.{number >> 8}.{number & 255}", 4470))


def test_what_is_shared_is_due_at_once_and_then_long_before_it_expires() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("word",), partial=False, now=100.0, entry_at=None)
    ((shared,), (same,)) = agenda.due(100.0)
    assert shared is same
    agenda.announced(shared, 100.0, provider=True, entry=True, quorum=True)
    assert agenda.due(100.0) == ([], [])
    assert (1 - JITTER) * PROVIDER_PERIOD <= shared.provider_at - 100.0 <= PROVIDER_PERIOD
    assert shared.entry_at is not None
    assert (1 - JITTER) * ENTRY_PERIOD <= shared.entry_at - 100.0 <= ENTRY_PERIOD
    assert agenda.next_due() == shared.provider_at


def test_a_restart_makes_no_storm() -> None:
    agenda = Agenda(random.Random(1))
    for number in range(100):
        agenda.share(number.to_bytes(32, "big"), ("w",), partial=False, now=0.0, entry_at=1000.0 + number)
    providers, entries = agenda.due(0.0)
    assert (len(providers), len(entries)) == (100, 0)
    assert len(agenda.due(1049.0)[1]) == 50


def test_a_due_time_from_a_clock_that_was_ahead_is_not_believed() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=1e9)
    assert agenda.due(ENTRY_PERIOD)[1]


def test_below_quorum_it_is_tried_again_soon_then_less_often() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, (), partial=False, now=0.0, entry_at=None)
    waits = []
    for _ in range(8):
        now = agenda.next_due()
        assert now is not None
        (shared,), _ = agenda.due(now)
        agenda.announced(shared, now, provider=True, entry=False, quorum=False)
        waits.append(shared.provider_at - now)
    assert waits[:2] == [2 * RETRY_SECONDS, 4 * RETRY_SECONDS]
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
    sweep = Sweep(keys, 20)
    target = sweep.next_target()
    assert target == min(keys)
    holders = sweep.covered(target, nodes, dict.fromkeys(keys, 10))
    assert set(holders) == set(keys)
    assert all(set(found) == set(nodes) for found in holders.values())
    assert sweep.next_target() is None


def test_a_sweep_gives_every_key_its_closest_nodes_with_few_lookups() -> None:
    rng = random.Random(3)
    nodes = [contact(number, rng) for number in range(1000)]
    keys = [rng.randbytes(20) for _ in range(2000)]
    sweep = Sweep(keys, 20)
    lookups, right, total = 0, 0, 0
    covered: set[bytes] = set()
    while (target := sweep.next_target()) is not None:
        lookups += 1
        closest = sorted(nodes, key=lambda node: distance(node.node_id, target))[:20]
        for key, holders in sweep.covered(target, closest, dict.fromkeys(keys, 10)).items():
            assert key not in covered
            covered.add(key)
            true = set(sorted(nodes, key=lambda node: distance(node.node_id, key))[:10])
            right += len(true & set(holders))
            total += 10
    assert covered == set(keys)
    assert lookups <= 200  # of 2,000 keys; one each would be 2,000
    assert right / total > 0.9


def test_a_receipt_counts_keys_acks_holders_and_reads_back() -> None:
    rng = random.Random(4)
    one, two, three = (contact(number, rng) for number in range(3))
    tally = ReceiptTally()
    key = tally.of("lan", b"k" * 20, 10)
    key.servers, key.acked, key.verified = 3, {one, two}, {one}
    other = tally.of("lan", b"l" * 20, 10)
    other.servers, other.acked, other.verified = 3, {two, three}, {two, three}
    receipt = tally.receipt(7.0)
    assert (receipt.keys, receipt.acks, receipt.holders, receipt.verified) == (2, 4, 3, 3)
    assert receipt.quorum
    assert not receipt.alone


def test_half_is_no_quorum_and_a_full_word_does_not_count_against_it() -> None:
    rng = random.Random(5)
    one, two = contact(1, rng), contact(2, rng)
    tally = ReceiptTally()
    key = tally.of("lan", b"k" * 20, 10)
    tally.words[b"k" * 20] = "mp3"
    key.servers, key.acked = 4, {one, two}
    assert not tally.receipt(0.0).quorum
    key.full = 1
    assert tally.receipt(0.0).quorum
    assert tally.receipt(0.0).full == ("mp3",)


def test_alone_is_said_and_is_no_failure() -> None:
    tally = ReceiptTally()
    tally.of("lan", b"k" * 20, 10)
    assert tally.receipt(0.0).alone
    assert tally.receipt(0.0).quorum
