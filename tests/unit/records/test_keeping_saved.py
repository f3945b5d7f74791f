"""Held records are saved while the node lives, so that a kill loses minutes of them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhtshare.config import NodeConfig
from dhtshare.dht.dht import Dht
from dhtshare.dht.records import records as records_module
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.records import FIRST_SAVE_SECONDS, SAVE_SECONDS, Records
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.network import Address, Scope, ScopeRules
from dhtshare.node import Node
from tests.unit.records.records_fakes import NETWORK, WALL, entry, key, raws


@pytest.fixture(autouse=True)
def threads_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual clock does not wait for a thread."""

    async def at_once(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        return function(*arguments, **options)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def records(loop: VirtualLoop, saved: bytes = b"") -> Records:
    rng, rules = random.Random(1), ScopeRules()
    dht = ScopeDht(Scope.LAN, network=NETWORK, rules=rules, rng=rng, wall=lambda: WALL + loop.time())
    whole = SimpleNamespace(network=NETWORK, rules=rules, scopes={Scope.LAN: dht})
    return Records(cast(Dht, whole), rng, lambda: WALL + loop.time(), saved=saved)


def put(kept: Records, number: int, loop: VirtualLoop) -> None:
    now = loop.time()
    kept.holdings[0].store.put_entry(entry(number, words=("one",)), [0], b"net", now=now, wall=WALL + now)


def test_what_was_held_a_minute_ago_survives_a_kill() -> None:
    async def main(loop: VirtualLoop) -> None:
        written: list[bytes] = []
        kept = records(loop)
        task = asyncio.create_task(kept.keep_saved(written.append))
        put(kept, 1, loop)
        await asyncio.sleep(FIRST_SAVE_SECONDS + 1)
        put(kept, 2, loop)
        await asyncio.sleep(SAVE_SECONDS)
        put(kept, 3, loop)  # too late for the kill that follows
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(written) == 2
        again = records(loop, written[-1])
        assert len(raws(again.holdings[0].store, "one")) == 2
        assert [held.tag for held in again.holdings[0].store.set_of(key("one"))] == [b"net", b"net"]

    run_virtual(main)


def test_much_is_saved_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "SAVED_BYTES_PER_SECOND", 0.1)

    async def main(loop: VirtualLoop) -> None:
        times: list[float] = []
        sizes: list[int] = []

        def write(raw: bytes) -> None:
            times.append(loop.time())
            sizes.append(len(raw))

        kept = records(loop)
        for number in range(5):
            put(kept, number, loop)
        task = asyncio.create_task(kept.keep_saved(write))
        while len(times) < 2:
            await asyncio.sleep(SAVE_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert times[1] - times[0] >= sizes[0] / 0.1 > SAVE_SECONDS

    run_virtual(main)


def test_two_saves_at_once_write_one_after_the_other() -> None:
    async def main(loop: VirtualLoop) -> None:
        inside: list[int] = []
        most: list[int] = []

        def write(raw: bytes) -> None:
            inside.append(1)
            most.append(len(inside))
            inside.pop()

        kept = records(loop)
        await asyncio.gather(*(kept.save(write) for _ in range(8)))
        assert most == [1] * 8

    run_virtual(main)


def test_records_that_change_while_they_are_read_harm_nothing() -> None:
    """As by the thread that encodes, between any two of its steps."""

    async def main(loop: VirtualLoop) -> None:
        kept = records(loop)
        for number in range(30):
            put(kept, number, loop)
        store = kept.holdings[0].store
        store.put_provider(b"k" * 20, Address("10.0.0.1", 4470), ProviderClaim(5000, b"peerpeer"), now=0.0)
        entries, providers = store.entries.records(), store.providers.records()
        seen = 0
        for number, _ in enumerate(entries):
            put(kept, 100 + number, loop)
            store.put_entry(entry(200 + number, words=(f"w{number}",)), [0], b"net", now=0.0, wall=WALL)
            seen += 1
        store.put_provider(b"l" * 20, Address("10.0.0.1", 4470), ProviderClaim(5000, b"peerpeer"), now=0.0)
        assert seen == 30
        assert [name for name, _ in providers] == [b"k" * 20]

    run_virtual(main)


def test_a_disk_that_refuses_is_warned_of_and_does_not_end_the_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(NodeConfig(home=tmp_path / "no" / "such" / "folder"))
    with caplog.at_level(logging.WARNING):
        node._write_records(b"held")
    assert "records" in caplog.text


def test_the_holders_time_is_told_to_the_user_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> None:
        holding = records(loop).holdings[0]
        for number in range(9):
            contact: Any = SimpleNamespace(address=Address(f"10.0.0.{number}", 1))
            holding.heard(contact, int(WALL + 86400))
        assert holding.clock.wrong

    with caplog.at_level(logging.WARNING):
        run_virtual(main)
    assert caplog.text.count("24 h behind") == 1
