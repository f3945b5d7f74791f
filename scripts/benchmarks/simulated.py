"""What one node of a simulated network weighs: the whole of `ScopeDht`, as `lab` and the tests have thousands of."""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import tracemalloc
from typing import Any

from dhtshare.dht.population import Population
from dhtshare.dht.simulation import MEDIAN_RTT_SECONDS, VirtualLoop, run_virtual
from scripts.benchmarks.goals import at_most

LIMIT_BYTES = 40_000
IDLE_SECONDS = 120.0  # no call is under way any more, and none of its timers


def node_memory(*arguments: str) -> dict[str, Any]:
    """`--nodes N` `--seed S`. All that Python's allocator holds after N nodes joined one by one, divided by N.

    Counted: identity, routing table, tokens and round-trip times of known addresses, rates, counters, methods, sockets
    of the virtual network, and the caches that the nodes share. Not counted: modules and the loop, there before.
    """
    parser = argparse.ArgumentParser(prog="scripts/bench node-memory")
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)

    async def main(loop: VirtualLoop) -> dict[str, Any]:
        gc.collect()
        tracemalloc.start()
        people = Population(loop, random.Random(given.seed), loss=0.0, rtt=MEDIAN_RTT_SECONDS)
        for _ in range(given.nodes):
            people.add()
        alone = _held()
        await people.join_all()
        await asyncio.sleep(IDLE_SECONDS)
        joined = _held()
        tracemalloc.stop()
        nodes = list(people.nodes.values())
        return {
            "before_joining_bytes": round(alone / given.nodes),
            "bytes": at_most(round(joined / given.nodes), LIMIT_BYTES),
            "contacts": round(sum(node.contacts for node in nodes) / given.nodes, 1),
            "known_addresses": round(sum(len(node.rpc.peers) for node in nodes) / given.nodes, 1),
        }

    return {"nodes": given.nodes, "seed": given.seed, **run_virtual(main)}


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
