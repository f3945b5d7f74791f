"""The global scopes between machines of their own, at addresses of the Internet that lead nowhere but to each other.

NATs by the kernel, both address families, addresses that change, a network that goes away and comes back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeFile
from tests.namespaces import Machine, Wires, why_not
from tests.processes import Home, Network, Node, eventually

REASON = why_not()
NAT_REASON = why_not("nft")

pytestmark = pytest.mark.skipif(REASON is not None, reason=f"machines of their own: {REASON}")
with_nat = pytest.mark.skipif(NAT_REASON is not None, reason=f"a NAT: {NAT_REASON}")

V4 = [f"20.{number}.0.1" for number in range(1, 5)]
V6 = [f"2a0{number}::1" for number in range(1, 5)]


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    with Wires() as wires:
        yield wires


@pytest.fixture(scope="module")
def servers(shared_network: Network, wires: Wires) -> list[Node]:
    """Four machines with both families, each in networks of its own; only the first is told that it is reachable."""
    nodes = []
    for host4, host6 in zip(V4, V6, strict=True):
        known = [option for node in nodes[:1] for option in bootstraps(node)]
        machine = wires.machine(host4, host6)
        home = shared_network.home(machine.inside)
        nodes.append(home.node(*known, "--reachable", "auto" if nodes else "yes"))
    assert eventually(lambda: all(seen_by_all(nodes, host) for host in (*V4, *V6)), 60)
    return nodes


def bootstraps(_first: Node) -> list[str]:
    return ["--bootstrap", f"{V4[0]}:4470", "--bootstrap", f"[{V6[0]}]:4470"]


def scope(node: Node, kind: str) -> dict[str, Any]:
    report: dict[str, Any] = node.run("status").result["dht"]["scopes"][kind]
    return report


def hosts_known(node: Node) -> set[str]:
    return {contact["address"].rpartition(":")[0].strip("[]") for contact in node.run("peers").result["contacts"]}


def seen_by_all(nodes: list[Node], host: str) -> bool:
    """Whether every other node has it in its table."""
    own = {V4[i]: i for i in range(4)} | {V6[i]: i for i in range(4)}
    return all(host in hosts_known(node) for number, node in enumerate(nodes) if number != own.get(host))


def start(network: Network, machine: Machine, first: Node, *options: object) -> Node:
    return network.home(machine.inside).node(*bootstraps(first), *options)


def test_nodes_find_out_for_each_other_that_they_are_servers(servers: list[Node]) -> None:
    """Nobody was told its address, and only one that it is reachable."""
    for node, host4, host6 in zip(servers, V4, V6, strict=True):
        for kind, host in (("ipv4", host4), ("ipv6", host6)):
            report = scope(node, kind)
            assert report["external"] == host
            assert report["client"] is False
            assert report["contacts"] == 3
    assert all(scope(node, "ipv4")["dialable"] is True for node in servers[1:])


@with_nat
def test_a_node_behind_a_nat_fetches_and_is_in_nobody_s_table(
    shared_network: Network, wires: Wires, servers: list[Node], make_file: MakeFile
) -> None:
    published = servers[1].run("publish", make_file("through the wall.bin", 3 << 20)).result
    node = start(shared_network, wires.behind_nat("20.9.0.1"), servers[0])
    node.run("publish", make_file("inside.txt"))
    assert [hit["hash"] for hit in node.run("search", "through", "wall").result["results"]] == [published["hash"]]
    fetched = node.run("fetch", published["hash"]).result
    assert Path(fetched["path"]).stat().st_size == 3 << 20
    assert eventually(lambda: scope(node, "ipv4")["dialable"] is not None)
    report = scope(node, "ipv4")
    assert report["external"] == "20.9.0.1"
    assert report["client"] is True
    assert report["dialable"] is False
    assert report["contacts"] == 4
    page = node.run("status", json_output=False).stdout
    assert "others cannot dial it" in page
    assert "--announce-port" in page, "what to do about it"
    time.sleep(1)
    assert all("20.9.0.1" not in hosts_known(server) for server in servers)
    node.stop()


@with_nat
def test_two_behind_nats_meet_at_those_who_can_be_reached(
    shared_network: Network, wires: Wires, servers: list[Node], make_file: MakeFile
) -> None:
    """The published entry is found; that nobody can be dialled is said, not waited for."""
    giver = start(shared_network, wires.behind_nat("20.10.0.1"), servers[0])
    taker = start(shared_network, wires.behind_nat("20.11.0.1"), servers[0])
    published = giver.run("publish", make_file("out of reach.txt")).result
    assert published["receipt"]["acks"] >= 4, "its entries are held by servers"
    [hit] = taker.run("search", "out", "reach").result["results"]
    assert hit["hash"] == published["hash"]
    assert hit["providers"] == 0, "a provider that cannot be reached confirms nothing"
    taker.run("fetch", published["hash"], "--timeout", 4, code=None)
    giver.stop()
    taker.stop()


def test_a_node_of_one_family_lives_in_that_scope(
    shared_network: Network, wires: Wires, servers: list[Node], make_file: MakeFile
) -> None:
    published = servers[2].run("publish", make_file("both ways.txt")).result
    for host in ("20.12.0.1", "2a0c::1"):
        node = start(shared_network, wires.machine(host), servers[0])
        alive, empty = ("ipv6", "ipv4") if ":" in host else ("ipv4", "ipv6")
        assert node.run("fetch", published["hash"]).result["downloaded"] == 1000
        assert scope(node, alive)["contacts"] == 4
        assert scope(node, empty)["contacts"] == 0
        node.stop()


def test_no_reply_names_an_address_of_another_scope(servers: list[Node]) -> None:
    for node in servers:
        for contact in node.run("peers").result["contacts"]:
            assert (contact["scope"] == "ipv6") is ("[" in contact["address"])
        lookup = node.run("dht", "lookup", "5a" * 20).result
        for kind, found in lookup["scopes"].items():
            assert found["closest"]
            assert all((kind == "ipv6") is ("[" in one["address"]) for one in found["closest"])


def test_a_changed_address_is_found_out_and_told(
    shared_network: Network, wires: Wires, servers: list[Node], make_file: MakeFile
) -> None:
    machine = wires.machine("20.13.0.1")
    node = start(shared_network, machine, servers[0])
    published = node.run("publish", make_file("moving house.txt")).result
    assert eventually(lambda: not scope(node, "ipv4")["client"], 60)
    before = scope(node, "ipv4")["node_id"]
    machine.give("20.14.0.1")
    machine.route("20.14.0.1")
    machine.take("20.13.0.1")

    def settled() -> bool:
        node.run("search", "anything", code=4)  # answers tell where it is seen; by itself it asks every 15 minutes
        report = scope(node, "ipv4")
        return report["external"] == "20.14.0.1" and report["node_id"] != before and not report["client"]

    assert eventually(settled, 60)
    assert eventually(lambda: seen_by_all(servers, "20.14.0.1"), 60)
    visitor: Home = shared_network.home(wires.machine("20.15.0.1").inside)
    fetched = visitor.run("fetch", published["hash"], *bootstraps(servers[0]), "--no-seed", "--timeout", 30).result
    assert [source["address"] for source in fetched["sources"]] == ["20.14.0.1:4470"], "it is announced anew"
    node.stop()


def test_a_node_that_lost_its_network_finds_back_by_itself(
    shared_network: Network, wires: Wires, servers: list[Node], make_file: MakeFile
) -> None:
    machine = wires.machine("20.16.0.1")
    node = start(shared_network, machine, servers[0])
    published = servers[3].run("publish", make_file("still there.txt")).result
    assert node.run("search", "still").result["results"]
    machine.cut()

    def failing() -> list[bool]:
        return [contact["failures"] > 0 for contact in node.run("peers").result["contacts"]]

    def alone() -> bool:
        node.run("search", "whatever", "--timeout", 5, code=None)
        return all(failing())

    assert eventually(alone, 60), "nobody answers"
    machine.mend()
    assert eventually(lambda: len(failing()) == 4 and not any(failing()), 120)
    assert node.run("fetch", published["hash"]).result["downloaded"] == 1000
    node.stop()
