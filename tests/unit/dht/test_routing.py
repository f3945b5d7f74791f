"""The routing table: who gets in, who stays, who is told to others."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.contact import Contact
from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.routing import (
    CHECK_PAUSE_SECONDS,
    EVICT_AFTER_FAILURES,
    FEW_CONTACTS,
    FRESH_SECONDS,
    UNNAMED_AFTER_FAILURES,
    K,
    Table,
)
from dhtshare.errors import LocalProtocolError
from dhtshare.network import Address, Scope
from tests.unit.dht.dht_fakes import OWN, bound, bound_in, in_bucket

FAR = 160
PUBLIC = bound_id("5.5.5.5", random.Random(1))


def full(index: int = FAR, more: int = 0) -> tuple[Table, list[Contact]]:
    """A table whose one bucket is full; contact n was heard of at second n."""
    table = Table(OWN, Scope.LAN)
    contacts = [in_bucket(index, number) for number in range(K + more)]
    for second, contact in enumerate(contacts):
        table.answered(contact, float(second))
    return table, contacts


# ---- who gets in -------------------------------------------------------------------------------


def test_who_answered_is_known_and_who_only_asked_is_not() -> None:
    table = Table(OWN, Scope.LAN)
    contact = in_bucket(FAR, 1)
    assert table.asked(*contact, 1.0), "worth a ping"
    assert len(table) == 0
    assert table.answered(contact, 2.0)
    assert contact in table
    assert not table.asked(*contact, 3.0), "no more to get to know"
    assert table.liveliest()[0].last_seen == 3.0


def test_we_are_never_in_our_own_table() -> None:
    table = Table(OWN, Scope.LAN)
    assert not table.answered(Contact(OWN, Address("10.0.0.9", 4470)), 1.0)
    assert not table.wants(Contact(OWN, Address("10.0.0.9", 4470)))
    assert list(table) == []


@pytest.mark.parametrize("length", [0, 1, 19, 21, 160])
def test_an_id_of_another_length_is_no_node(length: int) -> None:
    """Two ids of different length and equal value stopped every lookup of the stock table."""
    with pytest.raises(ValueError, match="20 bytes"):
        Table(b"x" * length, Scope.LAN)


def test_the_stock_ways_in_are_closed() -> None:
    table, [contact, *_] = full()
    for stock in (table.add_contact, table.remove_contact, table.find_neighbors):
        with pytest.raises(LocalProtocolError):
            stock(contact)
    with pytest.raises(LocalProtocolError):
        table.lonely_buckets()
    with pytest.raises(LocalProtocolError):
        table.split_bucket(0)


def test_an_empty_table_is_still_a_table() -> None:
    assert bool(Table(OWN, Scope.LAN)), "stock `x or default` threw an empty one away"


def test_an_address_under_another_id_replaces_what_was_there() -> None:
    table = Table(OWN, Scope.LAN)
    old = in_bucket(FAR, 1)
    new = Contact(in_bucket(FAR, 2).node_id, old.address)
    table.answered(old, 1.0)
    table.answered(new, 2.0)
    assert list(table) == [new]


def test_a_second_address_under_a_known_id_waits_for_the_first_to_fail() -> None:
    """A node that moved gets in; one that only claims a living node's id does not, and costs one check."""
    table = Table(OWN, Scope.LAN)
    first = in_bucket(FAR, 1)
    second = Contact(first.node_id, Address("10.0.0.77", 4470))
    table.answered(first, 1.0)
    assert not table.wants(second)
    assert not table.answered(second, 2.0)
    assert table.to_check(2.0, 8) == [first]
    table.answered(first, 3.0)
    assert table.to_check(4.0, 8) == [], "it lives: the dispute is settled"
    table.failed(first, 5.0)
    assert table.wants(second)
    assert table.answered(second, 6.0)
    assert list(table) == [second]


# ---- bounds ------------------------------------------------------------------------------------


def test_at_most_160_buckets_whatever_the_ids() -> None:
    """Ids that share long prefixes made thousands of buckets of the stock table."""
    table = Table(OWN, Scope.LAN)
    rng = random.Random(7)
    for port in range(1, 5000):
        low = rng.getrandbits(rng.randrange(1, 161))
        table.answered(Contact(low.to_bytes(20, "big"), Address("10.0.0.1", port)), float(port))
    assert len(table.buckets) <= 160
    assert all(size <= K for size in table.sizes().values())
    assert all(len(bucket.replacement_nodes) <= K for bucket in table.buckets.values())


def test_a_bucket_holds_k_and_as_many_wait() -> None:
    table, contacts = full(more=3 * K)
    assert list(table) == contacts[:K]
    waiting = [node.contact for node in table.buckets[FAR].replacement_nodes.values()]
    assert waiting == contacts[3 * K :], "the ones heard of last"


def test_a_full_bucket_wants_nobody() -> None:
    table, _ = full(more=K)
    assert not table.wants(in_bucket(FAR, 500))
    assert table.wants(in_bucket(FAR - 1, 1, host="10.0.0.2"))


# ---- who stays ---------------------------------------------------------------------------------


def test_a_newcomer_never_drives_out_a_living_node() -> None:
    table, contacts = full(more=1)
    assert contacts[K] not in table
    for contact in contacts[:K]:
        assert contact in table


def test_the_least_recently_seen_is_asked_before_it_is_replaced() -> None:
    table, contacts = full(more=1)
    now = K + FRESH_SECONDS
    assert table.to_check(now - 1, 8) == [contacts[0]]
    table.answered(contacts[0], now)
    assert [node.contact for node in table.buckets[FAR].nodes.values()] == [*contacts[1:K], contacts[0]]
    assert table.to_check(now, 8) == [contacts[1]], "the next in line"


def test_nobody_is_asked_where_nobody_waits() -> None:
    table, _ = full()
    assert table.to_check(1e6, 8) == []


def test_a_request_is_a_sign_of_life_too() -> None:
    table, contacts = full(more=1)
    table.asked(*contacts[0], 50.0)
    assert table.buckets[FAR].head().contact == contacts[1]


def test_one_lost_answer_evicts_nobody() -> None:
    table, [first, *_] = full()
    for second in range(EVICT_AFTER_FAILURES - 1):
        assert not table.failed(first, 100.0 + second)
    assert first in table
    table.answered(first, 200.0)
    for second in range(EVICT_AFTER_FAILURES - 1):
        assert not table.failed(first, 300.0 + second), "an answer wipes the slate"
    assert table.failed(first, 400.0)
    assert first not in table


def test_failing_nodes_are_asked_again_with_growing_pauses() -> None:
    table, [first, *_] = full()
    table.failed(first, 100.0)
    assert table.to_check(100.0 + 2 * CHECK_PAUSE_SECONDS - 1, 8) == []
    assert table.to_check(100.0 + 2 * CHECK_PAUSE_SECONDS, 8) == [first]
    table.failed(first, 130.0)
    assert table.to_check(130.0 + 3 * CHECK_PAUSE_SECONDS - 1, 8) == []
    assert table.to_check(130.0 + 3 * CHECK_PAUSE_SECONDS, 8) == [first]


def test_the_place_of_the_dead_goes_to_the_one_heard_of_last() -> None:
    table, contacts = full(more=3)
    table.asked(*contacts[K], 50.0)  # of the three that wait
    for _ in range(EVICT_AFTER_FAILURES):
        table.failed(contacts[0], 60.0)
    assert contacts[K] in table
    assert contacts[K + 2] not in table


def test_a_failing_replacement_is_the_last_choice_and_takes_its_place_by_age() -> None:
    table, contacts = full(more=2)
    for contact in contacts[1:K]:
        table.asked(*contact, 100.0)
    table.failed(contacts[K + 1], 101.0)
    table.dismiss(contacts[0])
    assert contacts[K] in table
    assert table.buckets[FAR].head().contact == contacts[K], "nobody here was heard of longer ago"


def test_who_lied_about_its_id_is_gone_at_once() -> None:
    table, [first, second, *_] = full()
    table.dismiss(first)
    table.dismiss(Contact(b"\x01" * 20, second.address))  # somebody else's id: not this one's fault
    assert first not in table
    assert second in table


def test_checks_are_bounded() -> None:
    table, contacts = full()
    for contact in contacts:
        table.failed(contact, 1.0)
    assert len(table.to_check(1000.0, 5)) == 5


# ---- global scopes -----------------------------------------------------------------------------


def test_a_global_id_must_be_one_that_its_address_may_have() -> None:
    table = Table(PUBLIC, Scope.IPV4)
    assert table.answered(bound("8.8.8.8"), 1.0)
    assert not table.answered(Contact(bound("8.8.4.4").node_id, Address("9.9.9.9", 4470)), 2.0)
    assert not table.wants(Contact(random.Random(3).randbytes(20), Address("9.9.9.9", 4470)))


@pytest.mark.parametrize(("port", "allowed"), [(1, False), (53, False), (1023, False), (1024, True), (65535, True)])
def test_nobody_global_lives_where_services_do(port: int, allowed: bool) -> None:
    assert Table(PUBLIC, Scope.IPV4).answered(bound("8.8.8.8", port), 1.0) is allowed


def test_one_node_an_ip() -> None:
    table = Table(PUBLIC, Scope.IPV4)
    assert table.answered(bound("8.8.8.8", 4470), 1.0)
    assert not table.answered(bound("8.8.8.8", 4471, seed=1), 2.0)
    assert not table.wants(bound("8.8.8.8", 4472, seed=2))
    table.dismiss(bound("8.8.8.8", 4470))
    assert table.answered(bound("8.8.8.8", 4471, seed=1), 3.0), "the place is free again"


def test_two_of_a_24_in_a_bucket() -> None:
    table = Table(PUBLIC, Scope.IPV4)
    neighbours = bound_in(160, PUBLIC, [f"8.8.8.{last}" for last in range(1, 40)])
    assert len(neighbours) >= 5
    assert [table.answered(contact, 1.0) for contact in neighbours] == [True, True] + [False] * (len(neighbours) - 2)


def test_ten_of_a_24_in_all() -> None:
    table = Table(PUBLIC, Scope.IPV4)
    for last in range(1, 255):
        for seed in range(16):
            table.answered(bound(f"8.8.8.{last}", seed=seed), 1.0)
    assert len(table) == 10
    assert max(table.sizes().values()) == 2
    assert table.answered(bound("8.8.9.1"), 1.0), "another /24 is another matter"


def test_ipv6_counts_by_48() -> None:
    own = bound_id("2a00::1", random.Random(2))
    table = Table(own, Scope.IPV6)
    near = bound_in(160, own, [f"2a00:1:2:{subnet}::1" for subnet in range(30)])
    far = bound_in(160, own, [f"2a00:1:{network}::1" for network in range(3, 30)])
    assert sum(table.answered(contact, 1.0) for contact in near) == 2
    assert all(table.answered(contact, 1.0) for contact in far[:5])


def test_the_lan_knows_no_such_caps() -> None:
    """One machine may run many nodes: that is how people try a program out."""
    table = Table(OWN, Scope.LAN)
    assert all(table.answered(in_bucket(FAR, number, host="127.0.0.1"), 1.0) for number in range(K))


# ---- what is answered --------------------------------------------------------------------------


def test_who_keeps_failing_is_not_named_until_it_answers() -> None:
    table, [first, *_] = full()
    for _ in range(UNNAMED_AFTER_FAILURES):
        assert first in table.nearest(first.node_id)
        table.failed(first, 10.0)
    assert first not in table.nearest(first.node_id)
    assert first in table, "it keeps its place"
    table.answered(first, 20.0)
    assert table.nearest(first.node_id)[0] == first


def test_loopback_is_named_only_where_asked_for() -> None:
    table = Table(OWN, Scope.LAN)
    local, other = in_bucket(FAR, 1, "127.0.0.1"), in_bucket(FAR, 2, "10.0.0.2")
    table.answered(local, 1.0)
    table.answered(other, 1.0)
    assert table.nearest(local.node_id) == [local, other]
    assert table.nearest(local.node_id, loopback=False) == [other]


def test_the_closest_come_from_beyond_the_first_full_bucket() -> None:
    """Stock walked left and right in turn and ended where the right side did: 18 of 62 here."""
    table = Table(OWN, Scope.LAN)
    contacts = [
        in_bucket(index, number, host=f"10.0.{index}.1")
        for index, size in ((160, 18), (159, 19), (158, 15), (157, 10))
        for number in range(size)
    ]
    for contact in contacts:
        assert table.answered(contact, 1.0)
    for target in (OWN, contacts[0].node_id, contacts[-1].node_id, b"\xff" * 20):
        expected = sorted(contacts, key=lambda contact: contact.distance_to(target))[:K]
        assert table.nearest(target) == expected


def test_the_edge_of_a_bucket_is_in_it() -> None:
    """2**159 is the first id of bucket 160 and 2**159 - 1 the last of 159; stock looked in the wrong one."""
    table = Table(OWN, Scope.LAN)
    edges = [
        Contact(number.to_bytes(20, "big"), Address("10.0.0.1", port))
        for port, number in enumerate((1, 2, (1 << 159) - 1, 1 << 159, (1 << 160) - 1), start=1)
    ]
    for contact in edges:
        assert table.answered(contact, 1.0)
    assert table.sizes() == {1: 1, 2: 1, 159: 1, 160: 2}
    for contact in edges:
        index = table.get_bucket_for(table.buckets[contact.distance_to(OWN).bit_length()].nodes[contact.node_id])
        assert table.buckets[index].has_in_range(table.buckets[index].nodes[contact.node_id])
        table.dismiss(contact)
        assert contact not in table


def test_answers_kept_packed_are_told_apart_by_the_list_that_they_are_of() -> None:
    table, contacts = full()
    target = contacts[3].node_id
    group = table.group(target)
    assert group is not None
    index, rows = group
    assert index == FAR
    assert {row.contact for row in rows} == set(table.nearest(target))
    version, named = table.version, table.nearest(target)
    table.asked(*contacts[3], 90.0)
    assert (table.version, table.nearest(target)) == (version, named), "a sign of life changes no answer"
    assert table.answered(in_bucket(FAR - 1, 999), 91.0)
    again = table.group(target)
    assert again is not None
    assert again[1] is rows, "nor does anything in another bucket"
    table.dismiss(contacts[3])
    assert table.version > version
    assert table.group(target) is None, "nineteen are not all that are asked for"
    assert table.answered(contacts[3], 92.0)
    other = table.group(target)
    assert other is not None
    assert other[1] is not rows


def test_no_group_where_one_of_the_bucket_may_not_be_named() -> None:
    table, contacts = full()
    assert table.group(contacts[3].node_id) is not None
    for second in (1.0, 2.0):
        table.failed(contacts[0], 30.0 + second)
    assert table.group(contacts[3].node_id) is None, "somebody of another bucket is named instead"


def test_the_liveliest_come_first() -> None:
    table, contacts = full()
    table.failed(contacts[K - 1], 30.0)
    table.asked(*contacts[0], 40.0)
    order = table.liveliest()
    assert order[0] == (contacts[0], 40.0, 0)
    assert order[-1] == (contacts[K - 1], K - 1.0, 1)


# ---- another id --------------------------------------------------------------------------------


def test_a_node_that_moves_takes_along_what_it_knows() -> None:
    table, contacts = full(more=5)
    table.failed(contacts[2], 60.0)
    moved = table.moved_to(b"\xff" * 20)
    assert moved.node.id == b"\xff" * 20
    known = {contact: (seen, failures) for contact, seen, failures in moved.liveliest()}
    assert known[contacts[2]] == (2.0, 1)
    assert known[contacts[7]] == (7.0, 0)
    assert contacts[0] in table, "the old table is left as it was"


def test_a_node_that_takes_the_id_of_a_contact_forgets_that_contact() -> None:
    table, contacts = full()
    assert contacts[4] not in table.moved_to(contacts[4].node_id)


# ---- clients -----------------------------------------------------------------------------------


def test_who_says_it_is_a_client_leaves_the_table() -> None:
    table, contacts = full()
    table.client(contacts[3], 50.0, invited=False)
    assert contacts[3] not in table
    table.client(contacts[3], 51.0, invited=True)
    assert contacts[3] not in table, "there are others"


def test_where_hardly_anybody_is_known_an_invited_client_is_company() -> None:
    table = Table(OWN, Scope.LAN)
    first, second = in_bucket(FAR, 1), in_bucket(FAR, 2)
    table.client(second, 1.0, invited=False)
    assert list(table) == [], "it only asked"
    table.client(first, 2.0, invited=True)
    table.client(first, 3.0, invited=False)
    assert list(table) == [first]
    for number in range(3, 3 + FEW_CONTACTS):
        table.answered(in_bucket(FAR, number), 4.0)
    table.client(first, 5.0, invited=False)
    assert first not in table, "now there are servers"


def test_an_invited_client_keeps_to_all_other_rules() -> None:
    table = Table(PUBLIC, Scope.IPV4)
    table.client(Contact(bound("8.8.4.4").node_id, Address("9.9.9.9", 4470)), 1.0, invited=True)
    table.client(Contact(PUBLIC, Address("9.9.9.9", 4470)), 1.0, invited=True)
    assert list(table) == []
