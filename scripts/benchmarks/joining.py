"""Joining by one good bootstrap entry of ten, in virtual time: how long whatever the nine others do takes."""

from __future__ import annotations

import argparse
from typing import Any

from dhtshare.dht.simulation import VirtualLoop, run_virtual
from scripts.benchmarks.goals import at_most
from tests.sim.hostile_entries import JOIN_SECONDS, KINDS, WELL_KNOWN, Joined, join_by_one_of_ten
from tests.sim.internet import Internet


def joining(*arguments: str) -> dict[str, Any]:
    """The worst of `--seeds` networks and both ends of the list, for each way to be bad."""
    parser = argparse.ArgumentParser(prog="scripts/bench joining")
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args(arguments).seeds
    worst: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        runs = [_run(kind, honest_at, seed) for seed in range(1, seeds + 1) for honest_at in (0, 9)]
        worst[kind] = {
            "joined_seconds": round(max(run.joined for run in runs), 1),
            "well_known_seconds": round(max(run.well_known for run in runs), 1),
        }
    return {
        "well_known": WELL_KNOWN,
        "runs_each": 2 * seeds,
        "worst_seconds": at_most(max(row["well_known_seconds"] for row in worst.values()), JOIN_SECONDS),
        "worst": worst,
    }


def _run(kind: str, honest_at: int, seed: int) -> Joined:
    async def main(loop: VirtualLoop) -> Joined:
        async with Internet(loop, seed=seed).running() as internet:
            return await join_by_one_of_ten(internet, kind, honest_at)

    return run_virtual(main)
