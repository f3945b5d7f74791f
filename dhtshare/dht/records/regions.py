"""Drives a sweep over a scope: looks regions up, several at once, and hands each one's holders on as found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.sweep import Sweep, lookup_width, spans

Visit = Callable[[dict[bytes, list[Contact]]], Awaitable[None]]


async def visit_holders(holding: Holding, targets: Mapping[bytes, int], visit: Visit) -> None:
    """Call `visit` with the holders of each key, region by region; every key once, some without any holder."""
    if not targets:
        return
    if not holding.dht.contacts:
        await visit({key: [] for key in targets})
        return
    nodes = holding.dht.estimated_size()
    k = lookup_width(len(targets), nodes)
    first = Sweep(targets, targets)
    await _region(holding, first, k, visit)  # alone: in a small network it is the only one
    async with asyncio.TaskGroup() as group:
        for span in spans(first.left, nodes):
            group.create_task(_span(holding, span, targets, k, visit))


async def _span(holding: Holding, keys: Iterable[bytes], targets: Mapping[bytes, int], k: int, visit: Visit) -> None:
    sweep = Sweep(keys, targets)
    while sweep.left:
        await _region(holding, sweep, k, visit)


async def _region(holding: Holding, sweep: Sweep, k: int, visit: Visit) -> None:
    target = sweep.next_target()
    assert target is not None
    result = await holding.dht.walk(target, k=k)
    await visit(sweep.covered(target, result.closest, k, factor=2 if result.suspicious else 1))
