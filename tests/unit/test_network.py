"""Network ids, addresses and scopes."""

import ipaddress

import pytest

from dhtshare.errors import UsageError
from dhtshare.network import Address, Scope, ScopeRules, make_address, network_id, network_tag, split_host_port


def test_network_id_is_frozen() -> None:
    assert network_id("dhtshare").hex() == "3aae183c"  # protocol: changing it cuts a node off from all others
    assert network_id("other") != network_id("dhtshare")


@pytest.mark.parametrize("name", ["", "x" * 65, "é" * 33])
def test_network_name_has_limits(name: str) -> None:
    with pytest.raises(UsageError):
        network_id(name)


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("127.0.0.1", Scope.LAN),
        ("::1", Scope.LAN),
        ("10.1.2.3", Scope.LAN),
        ("192.168.0.9", Scope.LAN),
        ("169.254.1.1", Scope.LAN),
        ("fe80::1", Scope.LAN),
        ("100.64.0.1", Scope.LAN),  # carrier-grade NAT
        ("fd00::1", Scope.LAN),  # ULA
        ("::ffff:192.168.0.9", Scope.LAN),
        ("8.8.8.8", Scope.IPV4),
        ("::ffff:8.8.8.8", Scope.IPV4),  # mapped: an IPv4 peer on a '::' socket
        ("2a00:1450::1", Scope.IPV6),
        ("0.0.0.0", None),
        ("::", None),
        ("224.0.0.251", None),
        ("ff02::fb", None),
        ("255.255.255.255", None),
        ("localhost", None),  # names never come from the wire
        ("fe80::1%eth0", None),
        ("", None),
    ],
)
def test_the_address_decides_the_scope(host: str, scope: Scope | None) -> None:
    assert ScopeRules().scope_of(host) is scope


def test_tests_can_move_addresses_to_a_global_scope() -> None:
    rules = ScopeRules([ipaddress.ip_network("127.0.0.0/8")])
    assert rules.scope_of("127.3.2.1") is Scope.IPV4
    assert rules.scope_of("10.0.0.1") is Scope.LAN


@pytest.mark.parametrize(
    ("named", "asker", "allowed"),
    [
        ("10.0.0.1", "10.0.0.2", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.2", False),  # loopback is named only to loopback
        ("10.0.0.2", "127.0.0.1", True),
        ("8.8.8.8", "10.0.0.2", False),  # another scope
        ("10.0.0.2", "8.8.8.8", False),
        ("224.0.0.1", "10.0.0.2", False),
    ],
)
def test_no_reply_names_an_address_of_another_scope(named: str, asker: str, allowed: bool) -> None:
    assert ScopeRules().may_name(named, asker) is allowed


def test_network_tags_weigh_opinions() -> None:
    assert network_tag("8.8.8.8", Scope.IPV4) == network_tag("8.8.8.9", Scope.IPV4)
    assert network_tag("8.8.8.8", Scope.IPV4) != network_tag("8.8.9.8", Scope.IPV4)
    assert network_tag("2a00:1:2::1", Scope.IPV6) == network_tag("2a00:1:2:3::1", Scope.IPV6)
    assert network_tag("10.0.0.1", Scope.LAN) != network_tag("10.0.0.2", Scope.LAN)
    assert network_tag("no address", Scope.LAN) == b""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a.example:1", ("a.example", 1)), ("127.0.0.1:4470", ("127.0.0.1", 4470)), ("[::1]:65535", ("::1", 65535))],
)
def test_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert split_host_port(text) == expected


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:0", "host:65536", "::1:5", "h h:1", "h:+1", "h:٣", "[]:1"]
)
def test_malformed_host_and_port(text: str) -> None:
    with pytest.raises(UsageError, match="host:port"):
        split_host_port(text)


def test_addresses_are_canonical() -> None:
    assert make_address("::FFFF:1.2.3.4", 5) == Address("1.2.3.4", 5)
    assert str(make_address("2A00::0001", 5)) == "[2a00::1]:5"
    assert str(make_address("1.2.3.4", 5)) == "1.2.3.4:5"
    for host, port in [("name", 1), ("1.2.3.4", 0), ("1.2.3.4", 70000)]:  # 70000: a datagram of it killed stock nodes
        with pytest.raises(UsageError):
            make_address(host, port)
