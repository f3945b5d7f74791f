"""What people are shown of the DHT: plain objects of JSON, true to what happened."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from dhtshare.dht.dht import Dht
from dhtshare.dht.messages import NoAnswer
from dhtshare.dht.report import contact_report, lookup_report, ping_report, status_report
from dhtshare.dht.simulation import EPOCH
from dhtshare.errors import NetworkError
from dhtshare.network import Address, Scope, ScopeRules
from tests.unit.dht.virtual import NETWORK, Net, address_of, contact_of, know, tell

TARGET = bytes(20)


def a_dht(net: Net, host: str) -> Dht:
    """A node of LAN and IPv4 on the virtual network."""
    dht = Dht(NETWORK, ScopeRules(), random.Random(host), lambda: EPOCH)
    dht.attach(net.datagrams.attach(Address(host, 4470), dht.datagram_received), ["0.0.0.0"])
    return dht


def test_status_shows_each_scope_as_it_is() -> None:
    async def story(net: Net) -> None:
        dht, others = a_dht(net, "10.0.0.1"), [net.node(f"10.0.0.{number}") for number in range(2, 30)]
        know(dht.scopes[Scope.LAN], *others)
        await dht.scopes[Scope.LAN].ping(contact_of(others[0]))
        report = json.loads(json.dumps(status_report(dht)))
        lan, world = report["scopes"]["lan"], report["scopes"]["ipv4"]
        assert report["contacts"] == lan["contacts"] == sum(lan["buckets"].values())
        assert lan["node_id"] == dht.scopes[Scope.LAN].node_id.hex()
        assert (lan["client"], world["client"]) == (False, True)
        assert (world["contacts"], world["buckets"], world["dialable"]) == (0, {}, None)
        assert lan["traffic"]["calls"] == 1
        assert lan["traffic"]["datagrams_out"] == lan["traffic"]["datagrams_in"] == 1
        assert 0 < lan["rtt_ms"] < 100
        assert report["estimated_size"] >= 2
        await dht.stop()

    tell(story)


def test_contacts_are_shown_liveliest_first() -> None:
    async def story(net: Net) -> None:
        dht, others = a_dht(net, "10.0.0.1"), [net.node(f"10.0.0.{number}") for number in range(2, 6)]
        lan = dht.scopes[Scope.LAN]
        for other in others:
            know(lan, other)
            await asyncio.sleep(10)
        await lan.ping(contact_of(others[0]))
        net.datagrams.silence(address_of(others[3]))
        with pytest.raises(NoAnswer):
            await lan.ping(contact_of(others[3]))
        rows = json.loads(json.dumps(contact_report(dht)))
        assert [row["address"] for row in rows] == [f"10.0.0.{number}:4470" for number in (2, 4, 3, 5)]
        assert rows[0]["rtt_ms"] > 0
        assert rows[1]["rtt_ms"] is None, "never asked, nothing known"
        assert [row["failures"] for row in rows] == [0, 0, 0, 1]
        assert all(row["scope"] == "lan" for row in rows)
        assert rows[0]["last_seen"] < rows[1]["last_seen"] < rows[2]["last_seen"]
        await dht.stop()

    tell(story)


def test_a_lookup_is_told_step_by_step() -> None:
    async def story(net: Net) -> None:
        dht, others = a_dht(net, "10.0.0.1"), [net.node(f"10.0.0.{number}") for number in range(2, 40)]
        for other in others:
            know(
                other, *(peer for peer in random.Random(address_of(other).host).sample(others, 15) if peer is not other)
            )
        know(dht.scopes[Scope.LAN], *others[:5])
        dead = others[2]
        net.datagrams.silence(address_of(dead))
        report = json.loads(json.dumps(await lookup_report(dht, TARGET)))
        lan = report["scopes"]["lan"]
        assert report["target"] == TARGET.hex()
        assert list(report["scopes"]) == ["lan"], "where nobody is known nothing is looked up"
        assert lan["answered"] == sum(step["outcome"] == "answered" for step in lan["trace"])
        assert lan["timed_out"] == sum(step["outcome"] == "timed out" for step in lan["trace"])
        slow = {step["address"] for step in lan["trace"] if step["outcome"] in ("late", "timed out")}
        assert slow == {"10.0.0.4:4470"}
        assert "10.0.0.4:4470" not in [row["address"] for row in lan["closest"]]
        assert [step["ms"] for step in lan["trace"]] == sorted(step["ms"] for step in lan["trace"])
        bits = [row["distance_bits"] for row in lan["closest"]]
        assert bits == sorted(bits)
        assert len(lan["closest"]) == 20
        assert lan["complete"]
        assert lan["hops"] >= 1
        await dht.stop()

    tell(story)


def test_a_lookup_without_anybody_says_what_to_do() -> None:
    async def story(net: Net) -> None:
        dht = a_dht(net, "10.0.0.1")
        with pytest.raises(NetworkError, match="--bootstrap"):
            await lookup_report(dht, TARGET)
        await dht.stop()

    tell(story)


def test_a_ping_tells_who_is_there_and_how_it_sees_us() -> None:
    async def story(net: Net) -> None:
        dht, other = a_dht(net, "10.0.0.1"), net.node("10.0.0.2")
        report = await ping_report(dht, address_of(other))
        assert report == {
            "address": "10.0.0.2:4470",
            "scope": "lan",
            "node_id": other.node_id.hex(),
            "ms": pytest.approx(30, abs=25),
            "seen": "10.0.0.1:4470",
            "clock": int(EPOCH),
        }
        with pytest.raises(NoAnswer):
            await ping_report(dht, Address("10.0.0.77", 4470))
        with pytest.raises(NetworkError, match="in no scope"):
            await ping_report(dht, Address("2a00::1", 4470))
        await dht.stop()

    tell(story)


def test_datagrams_from_where_nobody_lives_are_counted_and_left() -> None:
    async def story(net: Net) -> None:
        dht = a_dht(net, "10.0.0.1")
        for host in ("224.0.0.1", "0.0.0.0", "2a00::1"):
            dht.datagram_received(bytes(400), Address(host, 4470))
        assert dht.malformed == 3
        assert all(scope.rpc.counters.datagrams_in == 0 for scope in dht.scopes.values())
        await dht.stop()

    tell(story)


def test_every_byte_is_charged() -> None:
    async def story(net: Net) -> None:
        charged: list[tuple[int, int]] = []
        dht = Dht(NETWORK, ScopeRules(), random.Random(1), lambda: EPOCH, charge=lambda *bytes_: charged.append(bytes_))
        dht.attach(net.datagrams.attach(Address("10.0.0.1", 4470), dht.datagram_received), ["10.0.0.1"])
        other = net.node("10.0.0.2")
        await ping_report(dht, address_of(other))
        counters = dht.scopes[Scope.LAN].rpc.counters
        assert charged == [(counters.bytes_out, 0), (0, counters.bytes_in)]
        assert counters.bytes_out >= 400
        await dht.stop()

    tell(story)
