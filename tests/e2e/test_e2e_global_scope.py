"""The rules of the global scopes between real processes, on loopback addresses that are treated as public."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import Network, Node, eventually

PUBLIC = ("--treat-as-public", "127.0.0.0/8")


def start(network: Network, host: str, *options: object) -> Node:
    """A node at a loopback address of its own; each 127.N.0.0/16 is another network to its neighbours."""
    node = network.home().node("--host", host, *PUBLIC, *options)
    network.bootstrap = network.bootstrap or node.address
    return node


@pytest.fixture(scope="module")
def servers(shared_network: Network) -> list[Node]:
    nodes = [start(shared_network, f"127.{number}.0.1", "--reachable", "yes") for number in range(31, 35)]
    assert eventually(lambda: all(len(known(node)) == 3 for node in nodes))
    return nodes


def known(node: Node) -> set[str]:
    return {contact["address"] for contact in node.run("peers").result["contacts"]}


def ipv4(node: Node) -> dict[str, Any]:
    scope: dict[str, Any] = node.run("status").result["dht"]["scopes"]["ipv4"]
    return scope


def test_addresses_treated_as_public_are_of_the_global_scope(servers: list[Node]) -> None:
    for node in servers:
        scopes = node.run("status").result["dht"]["scopes"]
        assert list(scopes) == ["ipv4"], "loopback leads nowhere else"
        assert scopes["ipv4"]["external"] == node.address.partition(":")[0]
        assert node.ready["node_id"] == scopes["ipv4"]["node_id"]


def test_a_node_is_a_client_until_it_was_reached(shared_network: Network, servers: list[Node]) -> None:
    auto = start(shared_network, "127.36.0.1")
    assert eventually(lambda: not ipv4(auto)["client"])
    assert ipv4(auto)["dialable"] is True
    assert eventually(lambda: all(auto.address in known(server) for server in servers))
    auto.stop()


def test_who_says_that_it_cannot_be_reached_stays_a_client(shared_network: Network, servers: list[Node]) -> None:
    hidden = start(shared_network, "127.37.0.1", "--reachable", "no")
    hidden.run("search", "whatever", code=4)
    assert ipv4(hidden)["client"] is True
    assert len(known(hidden)) >= 4
    assert all(hidden.address not in known(server) for server in servers)
    hidden.stop()


def test_a_second_node_of_one_ip_is_in_nobody_s_table(shared_network: Network, servers: list[Node]) -> None:
    """One node an IP: places in the DHT cost addresses. Only its neighbour at that IP may know it."""
    second = start(shared_network, "127.31.0.1", "--reachable", "yes")
    second.run("search", "whatever", code=4)
    assert all(second.address not in known(server) for server in servers[1:])
    second.stop()


def test_two_of_a_24_have_a_place_in_a_bucket(shared_network: Network, servers: list[Node]) -> None:
    neighbours = [start(shared_network, f"127.38.0.{last}", "--reachable", "yes") for last in range(1, 4)]
    for node in neighbours:
        node.run("search", "whatever", code=4)
    for server in servers:
        near = [
            contact for contact in server.run("peers").result["contacts"] if contact["address"].startswith("127.38.")
        ]
        own = int(ipv4(server)["node_id"], 16)
        buckets = [(own ^ int(contact["node_id"], 16)).bit_length() for contact in near]
        assert near
        assert all(buckets.count(bucket) <= 2 for bucket in buckets)
    for node in neighbours:
        node.stop()


def test_a_file_goes_from_one_to_another(shared_network: Network, servers: list[Node], make_file: MakeFile) -> None:
    path = make_file("public heron.bin", 2 << 20)
    published = servers[0].run("publish", path).result
    assert published["receipt"]["acks"] >= 3
    [hit] = servers[2].run("search", "public", "heron").result["results"]
    fetched = servers[2].run("fetch", hit["hash"]).result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()


def test_the_same_network_without_the_option_is_another_world(shared_network: Network, servers: list[Node]) -> None:
    """The address decides: for a node without the option these are loopback addresses of the LAN scope."""
    apart = shared_network.home().node("--host", "127.39.0.1")
    assert list(apart.run("status").result["dht"]["scopes"]) == ["lan"]
    assert all(apart.address not in known(server) for server in servers)
    apart.stop()
