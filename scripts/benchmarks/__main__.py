"""scripts/bench NAME [ARGUMENT…]: runs one benchmark of this folder and prints its JSON object.

Goals that were missed are named on stderr, too, and make the exit code 1.
"""

from __future__ import annotations

import importlib
import json
import sys

from scripts.benchmarks.goals import missed

#: Name → module and function, each loaded when it is called for.
BENCHMARKS = {
    "hash": "content:hashing",
    "startup": "network:startup",
    "memory": "network:memory",
    "publish": "network:publish",
    "announce": "records:announce",
    "churn": "records:churn",
    "spam": "records:spam",
    "record-memory": "records:record_memory",
    "node-memory": "simulated:node_memory",
    "closest": "closest:closest",
    "dht-served": "datagrams.served:served",
    "flood": "datagrams.flood:flood",
    "store-flood": "datagrams.store_flood:store_flood",
    "hostile-datagrams": "datagrams.hostile:hostile",
    "transfer": "transfer.rows:transfer",
    "swarm": "swarm.scenarios:swarm",
    "hostile": "hostile:hostile",
    "limits": "swarm.limits:limits",
    "joining": "joining:joining",
    "disk-use": "library.disk_use:disk_use",
    "taken-back": "library.taken_back:taken_back",
}


def main() -> int:
    """0; 1 where a goal was missed; 2 for a name that is none."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: scripts/bench {' | '.join(BENCHMARKS)} [ARGUMENT…]", file=sys.stderr)
        return 2
    module, _, function = BENCHMARKS[sys.argv[1]].partition(":")
    run = getattr(importlib.import_module(f"scripts.benchmarks.{module}"), function)
    result = run(*sys.argv[2:])
    print(json.dumps({"benchmark": sys.argv[1], **result}))
    short = missed(result)
    if short:
        print(f"missed: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
