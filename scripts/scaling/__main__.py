"""scripts/scale: prints one JSON object with a row for each size."""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from typing import Any

from dhtshare.dht.contact import ID_BYTES, Contact
from dhtshare.dht.figures import Figures
from scripts.scaling.crowd import Crowd
from scripts.scaling.timed import Delays, TimedLookup

SIZES = (10_000, 100_000, 1_000_000)
GOALS = {  # mean hops, mean requests sent before the first record
    10_000: {"hops": 2.0, "requests_to_first": 6},
    100_000: {"hops": 2.5, "requests_to_first": 7},
    1_000_000: {"hops": 3.1, "requests_to_first": 8},
}


def scaled(nodes: int, *, lookups: int, dead: float, seed: int) -> dict[str, Any]:
    """One size: the figures of `lookups` gets by random live nodes for random keys."""
    began = time.perf_counter()
    crowd = Crowd(nodes, seed)
    rng = random.Random(seed)
    figures = Figures()
    delays = Delays(seed)

    def is_dead(contact: Contact) -> bool:
        return random.Random(f"{seed} {contact.node_id.hex()}").random() < dead

    while len(figures.complete) < lookups:
        asker = crowd.contact(rng.randrange(nodes))
        if not is_dead(asker):
            TimedLookup(crowd, asker, rng.randbytes(ID_BYTES), is_dead, delays).run(figures)
    return {
        **figures.summary(nodes=nodes, seed=seed),
        "dead": dead,
        "goal": GOALS.get(nodes),
        "wall_seconds": round(time.perf_counter() - began, 1),
    }


def main() -> int:
    """Always 0: the figures speak."""
    parser = argparse.ArgumentParser(prog="scripts/scale", description="Lookups among up to a million nodes.")
    parser.add_argument("--nodes", type=int, action="append", help="how many nodes; repeatable")
    parser.add_argument("--lookups", type=int, default=500)
    parser.add_argument("--dead", type=float, default=0.0, help="share of nodes that never answer, 0 to below 1")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if any(size < 100 for size in given.nodes or ()) or not 0 <= given.dead < 1 or given.lookups < 1:
        parser.error("--nodes is at least 100, --lookups at least 1, --dead a share from 0 to below 1")
    rows = []
    for size in given.nodes or SIZES:
        rows.append(scaled(size, lookups=given.lookups, dead=given.dead, seed=given.seed))
        print(json.dumps(rows[-1]), file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"sizes": rows, "peak_memory_bytes": peak}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
