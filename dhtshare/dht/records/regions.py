"""Drives a sweep over a scope: looks regions up, several at once, and hands each one's holders on as found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.sweep import PLAIN_K, Sweep, region_bits, spans

Visit = Callable[[dict[bytes, list[Contact]]], Awaitable[None]]


async def visit_holders(holding: Holding, targets: Mapping[bytes, int], visit: Visit) -> None:
    """Call `visit` with the holders of each key, region by region; every key once, some without any holder."""
    if not targets:
        return
    if not holding.dht.contacts:
        await visit({key: [] for key in targets})
        return
    first = Sweep(targets, targets, region_bits(len(targets), holding.dht.estimated_size()))
    await _region(holding, first, visit)  # alone: in a small network it is the only one
    nodes = holding.dht.estimated_size()
    bits = region_bits(len(targets), nodes)
    async with asyncio.TaskGroup() as group:
        for span in spans(first.left, nodes):
            group.create_task(_span(holding, Sweep(span, targets, bits), visit))


async def _span(holding: Holding, sweep: Sweep, visit: Visit) -> None:
    while sweep.left:
        await _region(holding, sweep, visit)


async def _region(holding: Holding, sweep: Sweep, visit: Visit) -> None:
    target = sweep.next_target()
    assert target is not None
    result = await holding.dht.walk(target, k=PLAIN_K, around=sweep.around)
    factor = 2 if result.suspicious else 1
    await visit(sweep.covered(target, result.closest, complete=result.complete, factor=factor))
