"""scripts/soak: acts on a network of real nodes for some minutes and prints what came of it as JSON."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from scripts.soaking.gauges import Gauges
from scripts.soaking.world import World
from tests.processes import Network, left_behind

SAMPLE_SECONDS = 10.0
WEIGHTS = {
    World.publish: 8,
    World.search: 10,
    World.fetch: 12,
    World.look: 4,
    World.restart: 1,
    World.kill: 2,
    World.freeze: 1,
    World.garbage: 2,
    World.damage: 1,
}


def soak(minutes: float, nodes: int, seed: int) -> dict[str, object]:
    """The report; `ok` is False where anything was not as it has to be."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        world = World(network, rng, nodes)
        gauges = {member: Gauges() for member in world.members if member.steady}
        began = time.monotonic()
        sample_at = 0.0
        while (passed := time.monotonic() - began) < 60 * minutes:
            (act,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
            act(world)
            world.done[act.__name__] += 1
            world.look_after()
            if passed >= sample_at:
                sample_at = passed + SAMPLE_SECONDS
                for member, gauge in gauges.items():
                    gauge.sample(member.pid, member.home.path)
            if sys.stderr.isatty():
                print(f"\r{passed / 60:.1f} of {minutes:g} min, {len(world.faults)} faults", end="", file=sys.stderr)
        world.end()
        name = network.name
    left = left_behind(name)
    slopes = [f"{name} of node {number}" for number, gauge in enumerate(gauges.values()) for name in gauge.slopes()]
    return {
        "ok": not (world.faults or left or slopes),
        "minutes": minutes,
        "nodes": nodes,
        "seed": seed,
        "done": dict(sorted(world.done.items())),
        "faults": world.faults,
        "processes_left": len(left),
        "slopes": slopes,
        "steady": [gauge.report() for gauge in gauges.values()],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.nodes < 5 or chosen.minutes <= 0:
        parser.error("a soak takes 5 nodes or more, and more than 0 minutes")
    report = soak(chosen.minutes, chosen.nodes, chosen.seed)
    print(json.dumps(report))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
