"""Neighbours find each other by multicast DNS: real nodes on two machines at home, none told of another."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakeFile
from tests.namespaces import Machine, Wires, why_not
from tests.processes import Network, Node, eventually

FOUND_SECONDS = 10.0  # seen: about one; the query is repeated after one, three, seven
REASON = why_not()

pytestmark = pytest.mark.skipif(REASON is not None, reason=f"multicast between machines: {REASON}")


@pytest.fixture
def wires() -> Iterator[Wires]:
    with Wires() as wires:
        yield wires


@pytest.fixture
def at_home(network: Network) -> Network:
    network.lan = True
    return network


def home_machine(wires: Wires, last: int) -> Machine:
    """As a router at home sets it up: one private subnet, multicast goes out of the only interface."""
    machine = wires.machine(f"192.168.7.{last}/24")
    machine.run("ip", "route", "add", "default", "via", "192.168.7.254")
    return machine


def start(network: Network, machine: Machine, *options: object) -> Node:
    return network.home(machine.inside).node(*options)


def contacts(node: Node) -> set[str]:
    return {contact["address"] for contact in node.run("peers").result["contacts"]}


def test_two_machines_find_each_other_and_what_they_share(at_home: Network, wires: Wires, make_file: MakeFile) -> None:
    one, two = (start(at_home, home_machine(wires, last)) for last in (1, 2))
    assert eventually(lambda: contacts(one) == {"192.168.7.2:4470"}, FOUND_SECONDS)
    assert eventually(lambda: contacts(two) == {"192.168.7.1:4470"}, FOUND_SECONDS)
    published = one.run("publish", make_file("lighthouse keeper.txt", 3 << 20), "-k", "lighthouse").result
    assert published["receipt"]["acks"] >= 1
    [hit] = two.run("search", "lighthouse").result["results"]
    assert hit["hash"] == published["hash"]
    fetched = two.run("fetch", 1).result
    assert fetched["downloaded"] == 3 << 20
    assert [source["address"] for source in fetched["sources"]] == ["192.168.7.1:4470"]


def test_a_command_of_its_own_finds_the_neighbours_too(at_home: Network, wires: Wires, make_file: MakeFile) -> None:
    """A first run on a second machine: no node there, nothing configured."""
    seed = start(at_home, home_machine(wires, 1))
    published = seed.run("publish", make_file("first run.txt")).result
    visitor = at_home.home(home_machine(wires, 2).inside)
    assert [hit["hash"] for hit in visitor.run("search", "first", "run").result["results"]] == [published["hash"]]
    assert visitor.run("fetch", published["hash"], "--no-seed").result["downloaded"] == 1000
    time.sleep(1)
    assert contacts(seed) == set(), "who only passes by is nobody's contact"


def test_not_with_no_lan(at_home: Network, wires: Wires) -> None:
    one = start(at_home, home_machine(wires, 1))
    two = start(at_home, home_machine(wires, 2), "--no-lan")
    three = start(at_home, home_machine(wires, 3))
    assert eventually(lambda: contacts(one) == {"192.168.7.3:4470"}, FOUND_SECONDS), "the wires carry multicast"
    time.sleep(2)
    assert contacts(two) == set()
    assert contacts(three) == {"192.168.7.1:4470"}


def test_not_across_networks_of_different_names(at_home: Network, wires: Wires) -> None:
    one = start(at_home, home_machine(wires, 1))
    other = at_home.home(home_machine(wires, 2).inside)
    stranger = other.start("node", "--network", "another")
    stranger.wait_for_event("ready")
    start(at_home, home_machine(wires, 3))
    assert eventually(lambda: contacts(one) == {"192.168.7.3:4470"}, FOUND_SECONDS)
    time.sleep(2)
    assert contacts(one) == {"192.168.7.3:4470"}
    stranger.stop()


def test_a_neighbour_that_starts_later_is_found_without_asking(at_home: Network, wires: Wires) -> None:
    early = start(at_home, home_machine(wires, 1))
    time.sleep(8)  # the early one's own queries are over for a while
    start(at_home, home_machine(wires, 2))
    assert eventually(lambda: contacts(early) == {"192.168.7.2:4470"}, FOUND_SECONDS)
