"""Which hits are asked about, when, and what is made of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.finding import Finder
from dhtshare.network import Address
from dhtshare.probing import ASKED_PER_HIT, HITS_AT_ONCE, SHARES, Prober
from dhtshare.ranking import Hit


class Finding:
    """A finder that takes a second for each content. `held` is who confirms it: so many addresses."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.held: dict[int, list[Address]] = {}
        self.under_way = self.most_under_way = 0
        self.errands: set[int] = set()
        self.fails = False

    def attempts(self) -> object:
        return SimpleNamespace()

    def tag(self, address: Address) -> bytes:
        return address.host.rpartition(".")[0].encode()

    async def holders(self, content_hash: bytes, *, limit: int, attempts: object) -> list[SimpleNamespace]:
        assert limit == ASKED_PER_HIT
        self.errands.add(id(attempts))
        number = int.from_bytes(content_hash, "big")
        self.asked.append(number)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(1.0)
        finally:
            self.under_way -= 1
        if self.fails:
            raise RuntimeError("a bug of ours")
        return [SimpleNamespace(address=address) for address in self.held.get(number, ())]


def hit(number: int) -> Hit:
    return Hit(number.to_bytes(32, "big"), "file", 1)


def prober(finding: Finding, limit: int = 50, own: Callable[[bytes], bytes | None] = lambda _hash: None) -> Prober:
    return Prober(cast(Finder, finding), limit, own)


def tell(story: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    async def main(loop: VirtualLoop) -> None:
        await story(loop)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def test_who_confirms_counts_by_network() -> None:
    async def story(_loop: VirtualLoop) -> None:
        finding = Finding()
        finding.held[1] = [Address("81.1.1.1", 1), Address("81.1.1.2", 1), Address("82.1.1.1", 1)]
        held, unheld, unasked = hit(1), hit(2), hit(3)
        async with prober(finding, 2) as probing:
            await probing.finish([held, unheld, unasked])
        assert (held.providers, held.networks) == (3, {b"81.1.1", b"82.1.1"})
        assert (unheld.providers, unheld.networks) == (0, set())
        assert unasked.providers is None

    tell(story)


def test_what_we_hold_ourselves_counts_too() -> None:
    async def story(_loop: VirtualLoop) -> None:
        finding, ours = Finding(), hit(1)
        async with prober(finding, own=lambda content_hash: b"net" if content_hash[-1] == 1 else None) as probing:
            await probing.finish([ours])
        assert (ours.providers, ours.networks) == (1, {b"net"})

    tell(story)


def test_while_more_may_come_a_teller_gets_its_share_and_each_hit_is_asked_about_once() -> None:
    async def story(_loop: VirtualLoop) -> None:
        finding, limit = Finding(), 50
        quick, slow = [hit(number) for number in range(100, 300)], [hit(number) for number in range(40)]
        async with prober(finding, limit) as probing:
            for one in quick:
                probing.add(one, "quick")
            for teller in ("a", "b", "c"):  # three holders of one set
                for one in slow:
                    probing.add(one, teller)
            await asyncio.sleep(60.0)
            share = limit // SHARES
            assert sum(number >= 100 for number in finding.asked) == share
            assert finding.asked[share:] == [*range(3 * share)]
            await probing.finish([*slow, *quick])
        assert len(finding.asked) == len(set(finding.asked)) == limit
        assert set(range(40)) <= set(finding.asked)
        assert len(finding.errands) == 1, "one account of whom a search has dialled"

    tell(story)


def test_a_few_are_asked_about_at_once() -> None:
    async def story(loop: VirtualLoop) -> None:
        finding = Finding()
        async with prober(finding) as probing:
            await probing.finish(hit(number) for number in range(5 * HITS_AT_ONCE))
        assert finding.most_under_way == HITS_AT_ONCE
        assert loop.time() == 5.0

    tell(story)


def test_who_waits_no_longer_leaves_nothing_running() -> None:
    async def story(_loop: VirtualLoop) -> None:
        finding = Finding()
        with pytest.raises(TimeoutError):
            async with prober(finding) as probing, asyncio.timeout(0.5):
                await probing.finish([hit(1), hit(2)])
        assert finding.under_way == 0

    tell(story)


def test_our_own_bug_is_not_hidden() -> None:
    async def story(_loop: VirtualLoop) -> None:
        finding = Finding()
        finding.fails = True
        with pytest.raises(RuntimeError):
            async with prober(finding) as probing:
                await probing.finish([hit(1)])

    tell(story)
