"""The lookup, step by step: whom it asks next, what an answer changes, and when it is over."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.behind import ASKED_FOR_EACH, MAX_CONTACTS_PER_ANSWER, MAX_QUESTIONS
from dhtshare.dht.candidate import State
from dhtshare.dht.contact import Contact
from dhtshare.dht.lookup import (
    APPROACH,
    MAX_REQUESTS_PER_PATH,
    MAX_UNCOUNTED,
    MAX_VIEW,
    STALLED_AFTER,
    WIDE,
    Lookup,
)
from dhtshare.network import Address, Scope

TARGET = bytes(20)
OWN = b"\xff" * 20


def at(distance: int, host: str = "10.0.0.1", port: int | None = None) -> Contact:
    """The contact at that distance from the target."""
    return Contact(distance.to_bytes(20, "big"), Address(host, 1024 + distance % 60_000 if port is None else port))


def ats(*distances: int) -> list[Contact]:
    return [at(distance) for distance in distances]


def lan(seeds: list[Contact], *, paths: int = 1, k: int = 20) -> Lookup:
    return Lookup(TARGET, OWN, seeds, scope=Scope.LAN, k=k, paths=paths)


def distances(contacts: list[Contact]) -> list[int]:
    return [contact.distance_to(TARGET) for contact in contacts]


def drain(lookup: Lookup) -> list[Contact]:
    """Everybody who is asked answers, and names nobody."""
    asked: list[Contact] = []
    while requests := lookup.next_requests():
        asked += requests
        for contact in requests:
            lookup.answered(contact, [])
    return asked


# ---- whom to ask first -------------------------------------------------------------------------------------


def test_the_closest_are_asked_first_and_no_more_than_alpha_of_them() -> None:
    lookup = lan(ats(9, 3, 7, 5, 1, 8))
    assert distances(lookup.next_requests()) == [1, 3, 5]
    assert lookup.next_requests() == []
    assert not lookup.done


@pytest.mark.parametrize(("paths", "widths"), [(1, [3]), (2, [2, 1]), (3, [1, 1, 1]), (5, [1, 1, 1, 1, 1])])
def test_alpha_is_dealt_to_the_paths_and_each_has_one_at_least(paths: int, widths: list[int]) -> None:
    lookup = lan(ats(*range(1, 41)), paths=paths)
    asked = lookup.next_requests()
    assert len(asked) == sum(widths)
    by_path = [sum(c.path == number for c in lookup.candidates()) for number in range(paths)]
    assert by_path == widths


def test_who_knows_nobody_is_done_at_once() -> None:
    lookup = lan([])
    assert lookup.next_requests() == []
    assert lookup.done
    assert lookup.closest() == []
    assert lookup.behind() == []


def test_we_are_never_asked_neither_as_a_seed_nor_as_named() -> None:
    ourselves = Contact(OWN, Address("10.0.0.9", 4470))
    lookup = lan([ourselves, at(5)])
    assert lookup.next_requests() == [at(5)]
    lookup.answered(at(5), [ourselves])
    assert lookup.next_requests() == []
    assert lookup.done


def test_fewer_seeds_than_paths_make_fewer_paths() -> None:
    lookup = lan(ats(1, 2), paths=8)
    assert len(lookup.next_requests()) == 2


# ---- on the way --------------------------------------------------------------------------------------------


def test_while_it_goes_well_a_path_has_one_request_in_flight() -> None:
    lookup = lan(ats(1000, 1001, 1002, 1003))
    first = lookup.next_requests()
    assert len(first) == APPROACH
    for number, contact in enumerate(first):
        lookup.answered(contact, [at(500 - number)])
    assert distances(lookup.next_requests()) == [498]
    lookup.answered(at(498), ats(100, 101, 102))
    assert distances(lookup.next_requests()) == [100]


def test_somebody_late_gives_its_slot_away_and_makes_the_path_try_more_at_once() -> None:
    lookup = lan(ats(1000, 1001, 1002))
    for contact in lookup.next_requests():
        lookup.answered(contact, ats(500, 501, 502, 503, 504))
    assert distances(lookup.next_requests()) == [500]
    lookup.late(at(500))
    assert distances(lookup.next_requests()) == [501, 502, 503]
    lookup.answered(at(501), ats(100, 101))  # closer again: one at a time
    assert lookup.next_requests() == []
    lookup.answered(at(502), [])
    lookup.answered(at(503), [])
    assert distances(lookup.next_requests()) == [100]


def test_somebody_who_failed_makes_the_path_try_more_at_once() -> None:
    lookup = lan(ats(1000, 1001, 1002))
    for contact in lookup.next_requests():
        lookup.answered(contact, ats(500, 501, 502, 503))
    lookup.next_requests()
    lookup.failed(at(500))
    assert distances(lookup.next_requests()) == [501, 502, 503]


def test_answers_that_lead_no_closer_widen_the_path() -> None:
    far = ats(*range(1000, 1040))
    lookup = lan([at(1), *far])
    lookup.next_requests()
    lookup.late(at(1))  # the closest says nothing, so no final burst hides what this is about
    asked = {at(1), *ats(1000, 1001)}
    for number in range(STALLED_AFTER):
        asked |= set(lookup.next_requests())
        lookup.answered(at(1000 + number), [])
    asked |= set(lookup.next_requests())
    in_flight = len(asked) - STALLED_AFTER - 1
    assert in_flight >= WIDE


def test_once_the_closest_answered_all_of_the_k_closest_are_asked_at_once() -> None:
    lookup = lan(ats(*range(1, 31)))
    assert distances(lookup.next_requests()) == [1, 2, 3]
    lookup.answered(at(1), [])
    assert distances(lookup.next_requests()) == list(range(4, 21))
    assert len(lookup.candidates()) == 30


def test_the_burst_waits_for_the_closest_to_answer() -> None:
    lookup = lan(ats(*range(1, 31)))
    lookup.next_requests()
    lookup.answered(at(2), [])
    assert len(lookup.next_requests()) <= APPROACH


def test_the_burst_ends_where_an_answer_leads_closer_once_more() -> None:
    lookup = lan(ats(10, 11, 12), k=4)
    lookup.next_requests()
    lookup.answered(at(10), [])
    lookup.answered(at(11), ats(1, 2))
    lookup.failed(at(12))
    assert distances(lookup.next_requests()) == [1, 2]  # two of three slots more, as somebody failed
    lookup.answered(at(1), [])
    lookup.answered(at(2), [])
    assert lookup.next_requests() == []
    assert lookup.done
    assert distances(lookup.closest()) == [1, 2, 10, 11]


# ---- answers and failures ----------------------------------------------------------------------------------


def test_of_an_answer_twenty_contacts_count() -> None:
    lookup = lan([at(1 << 20)])
    lookup.next_requests()
    lookup.answered(at(1 << 20), ats(*range(1000, 1200)))
    assert len(lookup.candidates()) == 1 + MAX_CONTACTS_PER_ANSWER
    assert max(distances([c.contact for c in lookup.candidates()])[:-1]) == 1000 + MAX_CONTACTS_PER_ANSWER - 1


def test_what_it_names_without_being_asked_again_is_cut_too() -> None:
    lookup = lan([at(5000)])
    lookup.next_requests()
    lookup.answered(at(5000), [])
    lookup.named(at(5000), ats(*range(1000, 1200)))
    assert len(lookup.candidates()) == 1 + MAX_CONTACTS_PER_ANSWER


def test_one_who_failed_costs_its_own_place_and_not_the_lookup() -> None:
    lookup = lan(ats(1, 2, 3, 4, 5), k=3)
    lookup.next_requests()
    lookup.failed(at(1))
    lookup.answered(at(2), [])
    lookup.answered(at(3), [])
    drain(lookup)
    assert lookup.done
    assert distances(lookup.closest()) == [2, 3, 4]


def test_who_failed_does_not_come_back_however_often_it_is_named() -> None:
    lookup = lan(ats(5, 6, 7), paths=2)
    first = lookup.next_requests()
    for contact in first:
        lookup.failed(contact)
    for _ in range(5):
        for contact in lookup.next_requests():
            assert contact not in first
            lookup.answered(contact, first)
    assert lookup.done
    assert not lookup.add_paths(first, 2)


def test_a_late_answer_counts_as_if_it_had_been_in_time() -> None:
    lookup = lan(ats(5, 6))
    lookup.next_requests()
    lookup.late(at(5))
    lookup.answered(at(5), ats(1))
    assert distances(lookup.next_requests()) == [1]
    lookup.answered(at(1), [])
    lookup.answered(at(6), [])
    assert lookup.next_requests() == []
    assert distances(lookup.closest()) == [1, 5, 6]


def test_a_path_is_not_done_before_its_late_ones_are_over() -> None:
    lookup = lan(ats(5))
    lookup.next_requests()
    lookup.late(at(5))
    assert lookup.next_requests() == []
    assert not lookup.done
    lookup.failed(at(5))
    assert lookup.next_requests() == []
    assert lookup.done


def test_facts_told_twice_or_after_the_end_change_nothing() -> None:
    lookup = lan(ats(5, 6))
    lookup.next_requests()
    lookup.failed(at(5))
    lookup.answered(at(5), ats(1))
    lookup.late(at(5))
    lookup.answered(at(6), [])
    lookup.failed(at(6))
    assert lookup.next_requests() == []
    assert [(c.contact, c.state) for c in lookup.candidates()] == [(at(5), State.FAILED), (at(6), State.ANSWERED)]


def test_hops_count_the_answers_that_led_there() -> None:
    lookup = lan(ats(1000))
    lookup.next_requests()
    lookup.answered(at(1000), ats(100))
    lookup.next_requests()
    lookup.answered(at(100), ats(10, 1000))
    assert [lookup.hops(contact) for contact in ats(1000, 100, 10)] == [1, 2, 3]


def test_an_id_that_answered_from_one_address_is_not_taken_from_another() -> None:
    true, false = at(5), at(5, host="10.0.0.66")
    lookup = lan([true, at(6), at(7)])
    lookup.next_requests()
    lookup.answered(true, [])
    lookup.answered(at(6), [false])
    asked = drain(lookup)
    assert false not in asked
    assert lookup.closest()[0] == true


# ---- limits ------------------------------------------------------------------------------------------------


def test_a_path_sends_64_requests_and_says_that_it_was_cut() -> None:
    """A liar who names ever closer contacts, all of which answer: without a limit it would never end."""
    lookup = lan([at(1 << 40)])
    distance = 1 << 40
    asked = 0
    while requests := lookup.next_requests():
        asked += len(requests)
        for contact in requests:
            distance -= 20
            lookup.answered(contact, ats(*range(distance, distance + 20)))
    assert asked == lookup.requests == MAX_REQUESTS_PER_PATH
    assert lookup.done
    assert lookup.truncated


def test_each_path_has_its_own_64() -> None:
    lookup = lan(ats(1 << 40, (1 << 40) + 1), paths=2)
    distance = 1 << 39
    while requests := lookup.next_requests():
        for contact in requests:
            distance -= 20
            lookup.answered(contact, ats(*range(distance, distance + 20)))
    assert lookup.requests == 2 * MAX_REQUESTS_PER_PATH
    assert lookup.truncated


def test_a_lookup_that_ends_by_itself_was_not_cut() -> None:
    lookup = lan(ats(*range(1, 60)))
    drain(lookup)
    assert not lookup.truncated
    assert lookup.requests == 20


def test_a_path_remembers_no_more_than_its_view_holds() -> None:
    lookup = lan(ats(*range(10_000, 10_000 + 2 * MAX_VIEW)))
    for contact in lookup.next_requests():
        lookup.answered(contact, [])
    assert distances(drain(lookup))[-1] < 10_000 + MAX_VIEW


# ---- disjoint paths ----------------------------------------------------------------------------------------


def test_seeds_are_dealt_in_turn_and_nobody_is_asked_by_two_paths() -> None:
    lookup = lan(ats(*range(1, 9)), paths=2)
    asked = drain(lookup)
    assert len(asked) == len(set(asked)) == 8
    paths = {c.distance: c.path for c in lookup.candidates()}
    assert {paths[distance] for distance in (1, 3, 5, 7)} == {0}
    assert {paths[distance] for distance in (2, 4, 6, 8)} == {1}


def test_what_a_liar_names_stays_on_its_own_path() -> None:
    lookup = lan(ats(1000, 1001, 1002, 1003), paths=2, k=4)
    liar, honest = at(1000), at(1001)
    lookup.next_requests()
    lies = ats(*range(1, 21))
    lookup.answered(liar, lies)
    lookup.answered(honest, ats(500))
    while requests := lookup.next_requests():
        for contact in requests:
            lookup.answered(contact, lies if contact in lies else [])
    by_path = {number: {c.distance for c in lookup.candidates() if c.path == number} for number in (0, 1)}
    assert {1, 2, 3, 4} <= by_path[0]
    assert 500 in by_path[1]
    assert not by_path[1] & set(distances(lies))


def test_two_paths_that_hear_of_the_same_contact_ask_it_once() -> None:
    lookup = lan(ats(1000, 1001), paths=2, k=2)
    lookup.next_requests()
    lookup.answered(at(1000), ats(5))
    lookup.answered(at(1001), ats(5))
    assert lookup.next_requests() == [at(5)]
    lookup.answered(at(5), ats(3))
    assert lookup.next_requests() == [at(3)]  # by the path that asked 5
    lookup.answered(at(3), [])
    assert lookup.next_requests() == []
    assert lookup.done


def test_more_paths_start_from_those_whom_nobody_asked() -> None:
    lookup = lan(ats(1, 2, 3), k=2)
    drain(lookup)
    assert lookup.done
    before = lookup.requests
    assert lookup.add_paths(ats(1, 2, 50, 51), 6)
    assert not lookup.done
    asked = drain(lookup)
    assert set(distances(asked)) <= {3, 50, 51}
    assert lookup.requests == before + len(asked)
    assert lookup.done


# ---- going on ----------------------------------------------------------------------------------------------


def test_widened_it_goes_on_to_more_of_the_closest() -> None:
    lookup = lan(ats(*range(1, 31)), k=5)
    assert len(drain(lookup)) == 5
    lookup.widen(10)
    assert not lookup.done
    assert distances(drain(lookup)) == [6, 7, 8, 9, 10]
    assert len(lookup.closest()) == 10
    assert distances(lookup.closest(3)) == [1, 2, 3]


def dead_among(lookup: Lookup, dead: set[int]) -> None:
    """Those at these distances fail, everybody else answers and names nobody."""
    while requests := lookup.next_requests():
        for contact in requests:
            if contact.distance_to(TARGET) in dead:
                lookup.failed(contact)
            else:
                lookup.answered(contact, [])


def test_nobody_is_asked_for_others_where_nobody_failed() -> None:
    lookup = lan(ats(*range(1, 31)))
    drain(lookup)
    assert lookup.behind() == []


def test_where_some_of_the_closest_failed_those_nearest_to_what_lies_behind_are_asked_for_it() -> None:
    lookup = lan(ats(*range(1, 25)))
    dead_among(lookup, {2, 5, 7})
    assert distances(lookup.closest())[-1] == 23, "three of the closest were not among the first 20"
    middle = lookup.closest()[9]
    assert middle.distance_to(TARGET) == 13 == 0b1101
    asked = [(contact.distance_to(TARGET), int.from_bytes(other, "big")) for contact, other in lookup.behind()]
    assert asked == [(14, 14), (15, 14), (16, 16), (17, 16)]
    assert lookup.behind() == [], "nobody is asked for the same twice"
    lookup.named(at(17), ats(0x0C00))
    assert not lookup.done  # until somebody looks whether that changes anything
    assert distances(lookup.next_requests()) == []
    assert lookup.done


def test_where_there_are_too_few_all_of_what_lies_behind_is_asked_for() -> None:
    lookup = lan(ats(*range(1, 21)))
    dead_among(lookup, {2, 5, 7})
    others = {int.from_bytes(other, "big") for _, other in lookup.behind()}
    assert others == {0b1110, 0b10000, 0b100000}


def test_whoever_is_named_for_what_lies_behind_is_asked_in_turn_and_there_is_an_end_to_it() -> None:
    lookup = lan(ats(*range(1, 21)))
    dead_among(lookup, {2, 5, 7})
    total, nearer = 0, 1 << 20
    while questions := lookup.behind():
        assert len(questions) == len(set(questions))
        total += len(questions)
        for contact, other in questions:
            nearer -= 1
            lookup.named(contact, [at(int.from_bytes(other, "big") ^ nearer)])
            dead_among(lookup, set())
    assert ASKED_FOR_EACH < total <= MAX_QUESTIONS


def test_where_no_more_than_an_answer_holds_were_heard_of_nobody_lies_behind() -> None:
    lookup = lan(ats(*range(1, 20)))
    dead_among(lookup, {2, 5, 7})
    assert lookup.behind() == []


def test_a_failure_beyond_the_closest_asks_nobody_again() -> None:
    lookup = lan(ats(1, 2, 3, 4, 5), k=2)
    lookup.next_requests()
    lookup.failed(at(3))
    lookup.answered(at(1), [])
    lookup.answered(at(2), [])
    drain(lookup)
    assert lookup.behind() == []


# ---- diversity in global scopes ------------------------------------------------------------------------------


def everywhere(seeds: list[Contact], k: int = 4, scope: Scope = Scope.IPV4) -> Lookup:
    return Lookup(TARGET, OWN, seeds, scope=scope, k=k, paths=1)


def test_of_one_machine_one_counts_and_the_others_are_asked_all_the_same() -> None:
    crowd = [at(1 + number, host="4.4.4.4") for number in range(3)]
    others = [at(10 + number, host=f"5.5.{number}.1") for number in range(4)]
    lookup = everywhere([*crowd, *others])
    asked = drain(lookup)
    assert set(crowd) < set(asked)
    assert lookup.closest() == [crowd[0], *others[:3]]


def test_of_one_network_two_count() -> None:
    crowd = [at(1 + number, host=f"4.4.4.{number + 1}") for number in range(5)]
    others = [at(10 + number, host=f"5.5.{number}.1") for number in range(4)]
    lookup = everywhere([*crowd, *others])
    drain(lookup)
    assert lookup.closest() == [*crowd[:2], *others[:2]]


def test_of_one_slash_48_two_count() -> None:
    crowd = [at(1 + number, host=f"2a00:1:2:{number}::1") for number in range(4)]
    others = [at(10 + number, host=f"2a00:2:{number}::1") for number in range(4)]
    lookup = everywhere([*crowd, *others], scope=Scope.IPV6)
    drain(lookup)
    assert lookup.closest() == [*crowd[:2], *others[:2]]


def test_in_the_lan_one_machine_may_be_all_there_is() -> None:
    crowd = [at(1 + number) for number in range(6)]
    lookup = lan(crowd, k=5)
    drain(lookup)
    assert lookup.closest() == crowd[:5]


def test_a_crowd_of_one_network_draws_no_more_than_a_few_requests() -> None:
    crowd = [at(1 + number, host="4.4.4.4") for number in range(60)]
    others = [at(100 + number, host=f"5.5.{number}.1") for number in range(4)]
    lookup = everywhere([*crowd, *others])
    asked = drain(lookup)
    assert sum(contact in crowd for contact in asked) == 1 + MAX_UNCOUNTED
    assert lookup.closest() == [crowd[0], *others[:3]]


def test_a_dead_machine_of_a_network_leaves_its_place_to_the_next() -> None:
    crowd = [at(1 + number, host=f"4.4.4.{number + 1}") for number in range(3)]
    lookup = everywhere([*crowd, at(50, host="5.5.5.5")], k=3)
    while requests := lookup.next_requests():
        for contact in requests:
            if contact == crowd[0]:
                lookup.failed(contact)
            else:
                lookup.answered(contact, [])
    assert lookup.closest() == [*crowd[1:], at(50, host="5.5.5.5")]


# ---- whole walks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [0.0, 0.3])
def test_among_500_nodes_it_ends_at_the_true_closest(dead: float) -> None:
    rng = random.Random(5)
    nodes = [Contact(rng.randbytes(20), Address("10.0.0.1", 2000 + number)) for number in range(500)]
    living = [node for node in nodes if rng.random() >= dead]
    for _ in range(20):
        target = rng.randbytes(20)
        lookup = Lookup(target, OWN, rng.sample(nodes, 40), scope=Scope.LAN, paths=2)
        while requests := lookup.next_requests():
            for contact in requests:
                if contact in living:  # everybody knows the 60 closest to whatever it is asked for, 20 of them named
                    named = sorted(nodes, key=lambda node: node.distance_to(target))[:60]
                    lookup.answered(contact, rng.sample(named, 20))
                else:
                    lookup.failed(contact)
        true = sorted(living, key=lambda node: node.distance_to(target))[:20]
        assert sum(node in lookup.closest() for node in true) >= (20 if not dead else 19)


# ---- everybody around --------------------------------------------------------------------------------------


def test_with_everybody_around_wanted_those_there_are_asked_for_their_neighbours_and_others_for_the_target() -> None:
    lookup = Lookup(TARGET, OWN, ats(1), scope=Scope.LAN, around=0xFF)
    assert lookup.question(at(0x100)) == TARGET
    assert lookup.question(at(0x14)) == at(0x14).node_id
    assert lookup.question(at(0x15)) == at(0x15 ^ 0x40).node_id, "for those of another quarter"
    assert lookup.question(at(0x17)) == at(0x17 ^ 0xC0).node_id
    assert lan([]).question(at(1)) == TARGET
    assert Lookup(TARGET, OWN, [], scope=Scope.LAN, around=(1 << 160) - 1).question(at(3)) == at(3 ^ 3 << 158).node_id


def test_somebody_farther_is_asked_only_while_nobody_around_is_waited_for() -> None:
    lookup = Lookup(TARGET, OWN, ats(1, 2, 300, 301), scope=Scope.LAN, k=3, paths=1, around=255)
    assert distances(lookup.next_requests()) == [1, 2]
    lookup.answered(at(1), ats(3, 4, 5))
    assert distances(lookup.next_requests()) == [3, 4]
    lookup.answered(at(2), [])
    assert distances(lookup.next_requests()) == [5]
    for contact in ats(3, 4, 5):
        assert lookup.next_requests() == []
        lookup.answered(contact, [])
    assert lookup.next_requests() == []
    assert lookup.done
    assert distances(lookup.closest()) == [1, 2, 3, 4, 5], "more than k, since they are around"


def test_too_few_around_are_filled_up_to_k() -> None:
    lookup = Lookup(TARGET, OWN, ats(1, 300, 301, 302), scope=Scope.LAN, k=3, paths=1, around=255)
    drain(lookup)
    assert distances(lookup.closest()) == [1, 300, 301]


def test_it_was_cut_where_somebody_around_was_left_out() -> None:
    lookup = Lookup(TARGET, OWN, ats(*range(1, 100)), scope=Scope.LAN, paths=1, around=255)
    drain(lookup)
    assert lookup.truncated
    assert lookup.done
    assert len(lookup.closest()) == MAX_REQUESTS_PER_PATH
    beyond = Lookup(TARGET, OWN, ats(*range(1, 31), *range(256, 330)), scope=Scope.LAN, paths=1, around=255)
    drain(beyond)
    assert not beyond.truncated


@pytest.mark.parametrize("dead", [0.0, 0.3])
def test_among_500_nodes_everybody_around_is_found_by_few_requests(dead: float) -> None:
    """Everybody names the 20 closest to what it is asked for: in half of a region there are more than that."""
    rng = random.Random(6)
    nodes = [Contact(rng.randbytes(20), Address("10.0.0.1", 2000 + number)) for number in range(500)]
    living = [node for node in nodes if rng.random() >= dead]
    found = there = asked = 0
    for _ in range(20):
        target, around = rng.randbytes(20), (1 << 156) - 1
        lookup = Lookup(target, OWN, rng.sample(nodes, 20), scope=Scope.LAN, paths=2, around=around)
        while requests := lookup.next_requests():
            for contact in requests:
                if contact in living:
                    wanted = int.from_bytes(lookup.question(contact), "big")
                    named = sorted(nodes, key=lambda node: int.from_bytes(node.node_id, "big") ^ wanted)[:20]
                    lookup.answered(contact, named)
                else:
                    lookup.failed(contact)
        assert not lookup.truncated
        true = {node for node in living if node.distance_to(target) <= around}
        found += len(true & set(lookup.closest()))
        there += len(true)
        asked += lookup.requests
        assert len(lookup.closest()) == len(set(lookup.closest()))
    assert found >= 0.99 * there
    assert asked <= 1.5 * there / (1 - dead)
