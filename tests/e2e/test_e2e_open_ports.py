"""What a node opens to the network: one port, the same for TCP and UDP. A Unix socket alone controls it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.processes import Network, Node

LISTENS = "0A"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _inodes(node: Node) -> set[str]:
    links = [entry.readlink().name for entry in Path(f"/proc/{node.running.process.pid}/fd").iterdir()]
    return {name.removeprefix("socket:[").removesuffix("]") for name in links if name.startswith("socket:[")}


def _ports(node: Node, table: str, state: str | None) -> list[int]:
    """Local ports of the node's sockets in a table of /proc/net, those in `state`."""
    rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    own = _inodes(node)
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in own and state in (None, row[3])]


def test_a_node_opens_one_port_and_no_other(network: Network) -> None:
    nodes = network.nodes(2)
    nodes[1].run("search", "anything", code=4)
    node = nodes[0]
    port = int(node.address.rpartition(":")[2])
    listening = _ports(node, "tcp", LISTENS) + _ports(node, "tcp6", LISTENS)
    assert set(listening) == {port}
    assert set(_ports(node, "udp", None) + _ports(node, "udp6", None)) == {port}


def test_that_port_answers_no_web_page_and_no_command(network: Network) -> None:
    """As a web page that a browser shows on this machine would ask, by DNS rebinding too."""
    node = network.node()
    host, _, port = node.address.rpartition(":")
    for asked in (b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n", b'{"op": "stop", "args": {}}\n'):
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(asked)
            connection.settimeout(20)
            answered = b""
            try:
                while part := connection.recv(4096):
                    answered += part
            except ConnectionResetError:
                pass
        assert b"HTTP" not in answered
        assert b"node_id" not in answered
    node.run("status")
