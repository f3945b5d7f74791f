"""scripts/soak: acts on a network of real nodes for some minutes and prints what came of it as JSON."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts.soaking.gauges import LEAST_SAMPLES, LIMITS, WARM_UP, Gauge
from scripts.soaking.world import World
from tests.processes import Network, left_behind
from tests.small_disk import SmallDisk

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
    World.fill: 2,
}
SETTLING_MINUTES = 5  # a shorter soak does not wait for two more until connections are given up


class Sampling:
    """Samples every node beside the acts, whatever these wait for. A process that is new gets a gauge of its own."""

    def __init__(self, world: World, seconds: float) -> None:
        self.gauges: dict[int, Gauge] = {}
        self._world = world
        self._pause = max(0.25, min(10.0, (1 - WARM_UP) * seconds / (3 * LEAST_SAMPLES)))
        self._began = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampling")

    def _sample(self) -> None:
        lives: Counter[str] = Counter()
        while not self._end.wait(self._pause):
            now = time.monotonic() - self._began
            for member in self._world.members:
                if (node := member.node) is None:
                    continue
                pid = node.running.process.pid
                if pid not in self.gauges:
                    lives[member.name] += 1
                    name = member.name if member.steady else f"{member.name}, life {lives[member.name]}"
                    self.gauges[pid] = Gauge(name, pid, member.home.path, now, whole_run=member.steady)
                self.gauges[pid].sample(now)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()


def soak(minutes: float, nodes: int, seed: int, *, disk_faults: bool = True) -> dict[str, Any]:
    """The report; `ok` is False where anything was not as it has to be."""
    rng = random.Random(seed)
    seconds = 60 * minutes
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        disk = stack.enter_context(SmallDisk(folder / "disk")) if disk_faults else None
        network = stack.enter_context(Network(folder))
        world = World(network, rng, nodes, disk)
        began = time.monotonic()
        with Sampling(world, seconds) as sampling:
            for act in WEIGHTS:  # each at least once, then as they come
                _do(world, act)
            while (passed := time.monotonic() - began) < seconds:
                (act,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
                _do(world, act)
                if sys.stderr.isatty():
                    print(f"\r{passed / 60:.1f} of {minutes:g} min", end="", file=sys.stderr)
        world.examine()
        if minutes >= SETTLING_MINUTES:
            world.settle()
        world.end()
        name = network.name
    left = left_behind(name)
    faults = world.tally.faults() + [fault for gauge in sampling.gauges.values() for fault in gauge.faults(seconds)]
    return {
        "ok": not (faults or left),
        "minutes": minutes,
        "nodes": nodes,
        "seed": seed,
        "disk_faults": disk_faults,
        "acts": dict(sorted(world.done.items())),
        "outcomes": world.tally.report(),
        "faults": faults,
        "processes_left": len(left),
        "limits_per_hour": {what: limit.per_hour for what, limit in LIMITS.items()},
        "slopes": [gauge.report(seconds) for gauge in sampling.gauges.values() if gauge.judged(seconds)],
    }


def _do(world: World, act: Any) -> None:
    act(world)
    world.done[act.__name__] += 1
    world.look_after()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-disk-faults", action="store_true", help="where no small disk may be mounted")
    chosen = parser.parse_args()
    if chosen.nodes < 5 or chosen.minutes <= 0:
        parser.error("a soak takes 5 nodes or more, and more than 0 minutes")
    try:
        report = soak(chosen.minutes, chosen.nodes, chosen.seed, disk_faults=not chosen.no_disk_faults)
    except PermissionError as error:
        parser.error(f"{error}; --no-disk-faults goes without")
    print(json.dumps(report))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
