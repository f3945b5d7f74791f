"""All scopes of a node together: counts, searches, upkeep, what came from before a restart."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhtshare.content.keys import content_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.dht import Dht
from dhtshare.dht.records.holding import DOUBT_SECONDS
from dhtshare.dht.records.limits import PROVIDER_TTL
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.records import EXPIRE_SECONDS, Records
from dhtshare.dht.records.saved import encode_records
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.network import Address, Scope, ScopeRules
from tests.unit.records.records_fakes import HOUR, NETWORK, WALL, content, entry, key, store, withdrawal

SCOPES = (Scope.LAN, Scope.IPV4)
CLAIM = ProviderClaim(5000, b"peerpeer")


def records(loop: VirtualLoop, saved: bytes = b"", slept: Callable[[], float] = lambda: 0.0) -> Records:
    rng, rules = random.Random(1), ScopeRules()

    def wall() -> float:
        return WALL + loop.time()

    scopes = {scope: ScopeDht(scope, network=NETWORK, rules=rules, rng=rng, wall=wall) for scope in SCOPES}
    whole = SimpleNamespace(network=NETWORK, rules=rules, scopes=scopes)
    return Records(cast(Dht, whole), rng, wall, saved=saved, slept=slept)


def fill(kept: Records) -> None:
    lan, world = (holding.store for holding in kept.holdings)
    lan.put_entry(entry(1, words=("musica", "nova"), ttl=HOUR), [0, 1], b"net", now=0.0, wall=WALL)
    world.put_entry(entry(2), [0], b"net", now=0.0, wall=WALL)
    world.put_entry(entry(3), [0], b"net", now=0.0, wall=WALL)
    world.withdraw(withdrawal(3), [key("musica")], now=0.0, wall=WALL)
    lan.put_provider(content_key(NETWORK, content(1)), Address("10.0.0.1", 4470), CLAIM, now=0.0)


def test_counts_are_of_all_scopes() -> None:
    async def story(loop: VirtualLoop) -> None:
        kept = records(loop)
        fill(kept)
        assert kept.counts() == {"entries": 2, "withdrawals": 1, "providers": 1, "keys": 4}

    run_virtual(story)


def test_what_we_hold_is_found_without_anybody_else() -> None:
    async def story(loop: VirtualLoop) -> None:
        kept = records(loop)
        fill(kept)
        found = [one.entry async for one in kept.search(Query(("musica",))).entries()]
        assert sorted(one.content_hash for one in found) == [content(1), content(2)]
        (provider,) = [one async for one in kept.providers(content(1))]
        assert provider.address == Address("10.0.0.1", 5000)
        assert [one async for one in kept.providers(content(2))] == []

    run_virtual(story)


def test_what_is_past_is_let_go_by_itself() -> None:
    async def story(loop: VirtualLoop) -> None:
        kept = records(loop)
        fill(kept)
        task = asyncio.create_task(kept.run())
        await asyncio.sleep(HOUR + DOUBT_SECONDS + 2 * EXPIRE_SECONDS)
        assert kept.counts()["entries"] == 1
        await asyncio.sleep(PROVIDER_TTL)
        assert kept.counts()["providers"] == 0
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run_virtual(story)


def test_what_became_past_while_the_machine_slept_goes_when_it_wakes_and_who_publishes_is_told() -> None:
    async def story(loop: VirtualLoop) -> None:
        slept = [500.0]  # before this process was started
        kept = records(loop, slept=lambda: slept[0])
        fill(kept)
        told: list[float] = []
        kept.holdings[0].on_slept.append(told.append)
        task = asyncio.create_task(kept.run())
        await asyncio.sleep(DOUBT_SECONDS + EXPIRE_SECONDS)
        assert kept.counts() == {"entries": 2, "withdrawals": 1, "providers": 1, "keys": 4}
        slept[0] += 4.0
        await asyncio.sleep(EXPIRE_SECONDS)
        slept[0] += 4 * HOUR
        await asyncio.sleep(EXPIRE_SECONDS)
        assert told == [4 * HOUR]
        assert kept.counts() == {"entries": 1, "withdrawals": 1, "providers": 0, "keys": 1}
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run_virtual(story)


def test_what_was_saved_comes_back_by_scope_and_a_damaged_file_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        return function(*arguments, **options)

    monkeypatch.setattr(asyncio, "to_thread", at_once)  # a virtual clock does not wait for a thread

    async def story(loop: VirtualLoop) -> None:
        before = records(loop)
        fill(before)
        written: list[bytes] = []
        await before.save(written.append)
        assert records(loop, written[0]).counts() == before.counts()
        assert records(loop, written[0][:-1] + b"x").counts()["keys"] == 0
        other = encode_records(b"othr", {Scope.LAN: store()}, now=0.0, wall=WALL)
        assert records(loop, other).counts()["keys"] == 0

    run_virtual(story)


def test_one_scope_whose_holders_have_another_time_is_enough_to_warn() -> None:
    async def story(loop: VirtualLoop) -> None:
        kept = records(loop)
        assert kept.clock_warning is None
        assert kept.record_wall() == WALL
        for number in range(3):
            contact = Contact(bytes(20), Address(f"81.{number}.1.1", 4470))
            kept.holdings[1].heard(contact, int(WALL + 48 * HOUR))
        assert kept.clock_warning is not None
        assert "48 h" in kept.clock_warning
        assert kept.record_wall() == WALL + 48 * HOUR

    run_virtual(story)
