"""From what people write to addresses: literals, names, both families, broken resolvers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from dhtshare.dht.bootstrap import MAX_ADDRESSES_PER_NAME, Bootstrap, system_resolver
from dhtshare.network import Address, Scope, ScopeRules

Found = list[tuple[Scope, list[Address]]]


class Names:
    """A resolver whose zone is a dict; what it is asked for is noted."""

    def __init__(self, zone: dict[str, list[str] | BaseException]) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self.at_once = 0
        self._waiting = 0

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        self._waiting += 1
        self.at_once = max(self.at_once, self._waiting)
        await asyncio.sleep(0)
        self._waiting -= 1
        answer = self.zone.get(name, socket.gaierror("unknown"))
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def resolved(bootstrap: Bootstrap) -> Found:
    found: Found = []

    async def note(scope: Scope, addresses: list[Address]) -> None:
        found.append((scope, addresses))

    await bootstrap.resolve(note)
    return found


def made(zone: dict[str, list[str] | BaseException] | None = None) -> tuple[Bootstrap, Names]:
    names = Names(zone or {})
    return Bootstrap(ScopeRules(), names), names


async def test_literals_cost_no_question() -> None:
    bootstrap, names = made()
    bootstrap.add([("8.8.8.8", 1), ("10.0.0.1", 2), ("2a00::1", 3), ("::ffff:9.9.9.9", 4), ("127.0.0.1", 5)])
    assert bootstrap.addresses(Scope.IPV4) == [Address("8.8.8.8", 1), Address("9.9.9.9", 4)]
    assert bootstrap.addresses(Scope.IPV6) == [Address("2a00::1", 3)]
    assert bootstrap.addresses(Scope.LAN) == [Address("10.0.0.1", 2), Address("127.0.0.1", 5)]
    assert await resolved(bootstrap) == []
    assert names.asked == []


async def test_a_name_stands_for_all_its_addresses() -> None:
    bootstrap, _ = made({"node.example": ["8.8.8.8", "2a00::1", "8.8.8.8", "192.168.1.9"]})
    bootstrap.add([("node.example", 4470)])
    assert bootstrap.addresses(Scope.IPV4) == []
    assert bootstrap.unresolved == ["node.example"]
    found = await resolved(bootstrap)
    assert (Scope.IPV4, [Address("8.8.8.8", 4470)]) in found
    assert (Scope.IPV6, [Address("2a00::1", 4470)]) in found
    assert bootstrap.addresses(Scope.LAN) == [Address("192.168.1.9", 4470)]
    assert bootstrap.unresolved == []


async def test_names_are_asked_for_at_once() -> None:
    bootstrap, names = made({f"n{n}": ["8.8.8.8"] for n in range(5)})
    bootstrap.add([(f"n{n}", 4470) for n in range(5)])
    await resolved(bootstrap)
    assert names.at_once == 5


@pytest.mark.parametrize(
    "failure", [socket.gaierror("no such name"), OSError("down"), TimeoutError(), UnicodeError("label too long")]
)
async def test_a_name_that_fails_hinders_no_other(failure: BaseException) -> None:
    bootstrap, _ = made({"bad.example": failure, "good.example": ["8.8.8.8"]})
    bootstrap.add([("bad.example", 1), ("good.example", 2)])
    assert await resolved(bootstrap) == [(Scope.IPV4, [Address("8.8.8.8", 2)])]
    assert bootstrap.unresolved == ["bad.example"]


async def test_a_name_keeps_what_it_meant_before() -> None:
    bootstrap, names = made({"node.example": ["8.8.8.8"]})
    bootstrap.add([("node.example", 4470)])
    await resolved(bootstrap)
    names.zone["node.example"] = socket.gaierror("the name server is away")
    await resolved(bootstrap)
    assert bootstrap.addresses(Scope.IPV4) == [Address("8.8.8.8", 4470)]
    names.zone["node.example"] = ["9.9.9.9"]
    await resolved(bootstrap)
    assert bootstrap.addresses(Scope.IPV4) == [Address("9.9.9.9", 4470)], "the new one, not both"


async def test_what_no_node_can_live_at_is_left_out() -> None:
    bootstrap, _ = made({"odd.example": ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "fe80::1%eth0", "words"]})
    bootstrap.add([("odd.example", 4470), ("0.0.0.0", 4470), ("ff02::1", 4470)])
    assert await resolved(bootstrap) == []
    assert all(bootstrap.addresses(scope) == [] for scope in Scope)


async def test_a_name_with_a_thousand_addresses_is_cut() -> None:
    bootstrap, _ = made({"huge.example": [f"8.8.{n >> 8}.{n & 255}" for n in range(1000)]})
    bootstrap.add([("huge.example", 4470)])
    await resolved(bootstrap)
    assert len(bootstrap.addresses(Scope.IPV4)) == MAX_ADDRESSES_PER_NAME


async def test_the_same_node_given_twice_is_one() -> None:
    bootstrap, names = made({"node.example": ["8.8.8.8"]})
    for _ in range(2):
        bootstrap.add([("node.example", 4470), ("9.9.9.9", 4470)])
    await resolved(bootstrap)
    assert names.asked == ["node.example"]
    assert len(bootstrap.addresses(Scope.IPV4)) == 2


async def test_the_system_s_resolver_gives_literals() -> None:
    assert "127.0.0.1" in await system_resolver("localhost")
    assert await system_resolver("127.0.0.1") == ["127.0.0.1"]
    with pytest.raises(socket.gaierror):
        await system_resolver("no-such-name.invalid")
