"""Whatever is answered, late or lost, in whatever order: what a lookup promises."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.dht.candidate import State
from dhtshare.dht.contact import Contact
from dhtshare.dht.lookup import MAX_REQUESTS_PER_PATH, WIDE, Lookup
from dhtshare.network import Address, Scope, network_tag

OWN = b"\xff" * 20


def run_at_random(lookup: Lookup, nodes: list[Contact], rng: random.Random, trouble: float) -> dict[Contact, str]:
    """Tell the lookup facts in random order until it is done. What became of each contact asked, by contact."""
    pending: list[Contact] = []
    fate: dict[Contact, str] = {}
    while True:
        for contact in lookup.next_requests():
            assert contact not in fate, "asked twice"
            fate[contact] = "asked"
            pending.append(contact)
        if lookup.done:  # nobody is waited for, late ones beyond the closest apart
            assert all(fate[contact] == "late" for contact in pending)
            return fate
        assert pending
        contact = pending[rng.randrange(len(pending))]
        if rng.random() < trouble:
            if fate[contact] == "asked":
                fate[contact] = "late"
                lookup.late(contact)
                continue
            fate[contact] = "failed"
            lookup.failed(contact)
        else:
            fate[contact] = "answered"
            near = sorted(nodes, key=lambda node: node.distance_to(lookup.target))
            lookup.answered(contact, rng.sample(near[: len(near) // 2 + 1], min(20, len(near) // 2 + 1)))
        pending.remove(contact)


def population(rng: random.Random, count: int, networks: int) -> list[Contact]:
    return [
        Contact(rng.randbytes(20), Address(f"4.4.{rng.randrange(networks)}.{rng.randrange(1, 40)}", 2000 + number))
        for number in range(count)
    ]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    count=st.integers(0, 120),
    paths=st.integers(1, 8),
    k=st.integers(1, 20),
    trouble=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    scope=st.sampled_from([Scope.LAN, Scope.IPV4]),
)
def test_it_ends_asks_nobody_twice_and_gives_the_closest_that_answered(
    seed: int, count: int, paths: int, k: int, trouble: float, scope: Scope
) -> None:
    rng = random.Random(seed)
    nodes = population(rng, count, networks=30)
    target = rng.randbytes(20)
    lookup = Lookup(target, OWN, rng.sample(nodes, min(20, count)), scope=scope, k=k, paths=paths)
    fate = run_at_random(lookup, nodes, rng, trouble)
    assert lookup.requests == len(fate)
    assert set(fate.values()) <= {"answered", "late", "failed"}

    per_path = Counter(candidate.path for candidate in lookup.candidates() if candidate.path >= 0)
    assert all(requests <= MAX_REQUESTS_PER_PATH for requests in per_path.values())
    assert set(per_path) <= set(range(paths))

    closest = lookup.closest()
    answered = sorted((c for c, end in fate.items() if end == "answered"), key=lambda c: c.distance_to(target))
    assert len(closest) <= k
    assert closest == [contact for contact in answered if contact in closest], "true order, answers only"
    if scope is Scope.LAN:
        assert closest == answered[:k]
    else:
        assert max(Counter(contact.address.host for contact in closest).values(), default=0) <= 1
        tags = Counter(network_tag(contact.address.host, scope) for contact in closest)
        assert max(tags.values(), default=0) <= 2


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 32), paths=st.integers(1, 4), trouble=st.sampled_from([0.0, 0.3]))
def test_nobody_known_is_left_unasked_nearer_than_the_k_th_that_answered(seed: int, paths: int, trouble: float) -> None:
    rng = random.Random(seed)
    nodes = population(rng, 100, networks=200)
    lookup = Lookup(rng.randbytes(20), OWN, rng.sample(nodes, 20), scope=Scope.LAN, k=10, paths=paths)
    run_at_random(lookup, nodes, rng, trouble)
    closest = lookup.closest()
    if lookup.truncated or len(closest) < 10:
        return
    farthest = closest[-1].distance_to(lookup.target)
    for candidate in lookup.candidates():
        assert candidate.state is not State.KNOWN or candidate.distance > farthest


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 32), paths=st.integers(1, 6), k=st.integers(2, 20))
def test_what_is_in_flight_is_bounded(seed: int, paths: int, k: int) -> None:
    rng = random.Random(seed)
    nodes = population(rng, 100, networks=200)
    lookup = Lookup(rng.randbytes(20), OWN, rng.sample(nodes, 20), scope=Scope.LAN, k=k, paths=paths)
    in_flight: list[Contact] = []
    while True:
        in_flight += lookup.next_requests()
        assert len(in_flight) <= paths * max(k, WIDE)
        if not in_flight:
            break
        contact = in_flight.pop(rng.randrange(len(in_flight)))
        lookup.answered(contact, rng.sample(nodes, 20))
    assert lookup.done


@settings(max_examples=30)
@given(seed=st.integers(0, 1 << 32), liars=st.integers(1, 5))
def test_a_liar_on_one_path_keeps_no_honest_node_off_the_other(seed: int, liars: int) -> None:
    """Liars name each other, nearer to the target than anybody; all of them start on the first path."""
    rng = random.Random(seed)
    target = bytes(20)
    honest = [Contact(rng.randbytes(20), Address(f"5.{number}.1.1", 2000)) for number in range(60)]
    lying = [
        Contact(bytes(12) + rng.randbytes(8), Address(f"6.{number // 200}.{number % 200}.1", 2000))
        for number in range(400)
    ]
    near = sorted(honest, key=lambda node: node.distance_to(target))
    seeds = [contact for pair in zip(lying[:liars], near[-liars:], strict=True) for contact in pair]
    lookup = Lookup(target, OWN, seeds, scope=Scope.IPV4, paths=2)
    while requests := lookup.next_requests():
        for contact in requests:
            lookup.answered(contact, rng.sample(lying, 20) if contact in lying else near[:20])
    asked = {candidate.contact for candidate in lookup.candidates() if candidate.state is State.ANSWERED}
    assert set(near[:20]) <= asked


@settings(max_examples=30)
@given(seed=st.integers(0, 1 << 32))
def test_the_order_in_which_an_answer_names_contacts_changes_nothing(seed: int) -> None:
    """Answers kept packed for a whole bucket are in the order of whoever asked first (`serving`)."""
    rng = random.Random(seed)
    nodes = population(rng, 100, networks=200)
    target, seeds = rng.randbytes(20), rng.sample(nodes, 5)
    tables = {node: rng.sample(nodes, 20) for node in nodes}

    def asked(order: random.Random) -> list[Contact]:
        lookup = Lookup(target, OWN, seeds, scope=Scope.IPV4)
        requests: list[Contact] = []
        while new := lookup.next_requests():
            requests += new
            for contact in new:
                lookup.answered(contact, order.sample(tables[contact], 20))
        return requests

    assert asked(random.Random(1)) == asked(random.Random(2))
