"""Scopes: every address is of one scope or of none, and no reply leads from one into another."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.network import Address, Scope, ScopeRules, is_loopback, make_address, parse_ip, split_host_port

hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.sampled_from(
        [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.9",
            "8.8.8.8",
            "9.9.9.9",
            "::1",
            "fd00::1",
            "fe80::1",
            "2a00::1",
            "::ffff:8.8.8.8",
            "::ffff:10.0.0.1",
            "224.0.0.1",
            "ff02::1",
            "0.0.0.0",
            "::",
            "255.255.255.255",
        ]
    ),
)
networks = st.lists(st.sampled_from(["127.0.0.0/8", "10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "::/0"]), max_size=3)


def rules_of(public: list[str]) -> ScopeRules:
    return ScopeRules([ipaddress.ip_network(text) for text in public])


@given(host=hosts, public=networks)
def test_an_address_has_one_scope_and_keeps_it(host: str, public: list[str]) -> None:
    rules = rules_of(public)
    scope = rules.scope_of(host)
    ip = parse_ip(host)
    assert ip is not None
    assert rules.scope_of(host) is scope
    assert rules.scope_of(str(ip)) is scope, "however it is written"
    if ip.is_multicast or ip.is_unspecified:
        assert scope is None
    if scope in (Scope.IPV4, Scope.IPV6):
        assert (scope is Scope.IPV4) is (ip.version == 4)


@given(named=hosts, asker=hosts, public=networks)
def test_a_reply_stays_within_the_asker_s_scope(named: str, asker: str, public: list[str]) -> None:
    rules = rules_of(public)
    if rules.may_name(named, asker):
        assert rules.scope_of(named) is rules.scope_of(asker) is not None
        assert is_loopback(asker) or not is_loopback(named)


@given(host=hosts, other=hosts, public=networks)
def test_everybody_may_be_told_of_itself_and_two_strangers_of_one_scope_of_each_other(
    host: str, other: str, public: list[str]
) -> None:
    rules = rules_of(public)
    if rules.scope_of(host) is not None:
        assert rules.may_name(host, host)
    if not is_loopback(host) and not is_loopback(other):
        assert rules.may_name(host, other) is rules.may_name(other, host)


@given(host=hosts, port=st.integers(1, 65535))
def test_an_address_is_read_back_as_it_is_written(host: str, port: int) -> None:
    address = make_address(host, port)
    assert make_address(*split_host_port(str(address))) == address
    assert address == Address(str(parse_ip(host)), port)
