"""scripts/bench NAME [ARGUMENT…]: runs one benchmark of this folder and prints its JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from scripts.benchmarks import content, network
from scripts.benchmarks.swarm.scenarios import swarm
from scripts.benchmarks.transfer.rows import transfer

BENCHMARKS: dict[str, Callable[..., dict[str, Any]]] = {
    "hash": content.hashing,
    "startup": network.startup,
    "memory": network.memory,
    "publish": network.publish,
    "transfer": transfer,
    "swarm": swarm,
}


def main() -> int:
    """0, or 2 for a name that is none."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: scripts/bench {' | '.join(BENCHMARKS)} [ARGUMENT…]", file=sys.stderr)
        return 2
    print(json.dumps({"benchmark": sys.argv[1], **BENCHMARKS[sys.argv[1]](*sys.argv[2:])}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
