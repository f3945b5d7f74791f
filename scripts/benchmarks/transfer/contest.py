"""Contestants take turns, so that whatever else the machine does meets all of them; medians, and all runs, are told."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scripts.benchmarks.content import summary
from scripts.benchmarks.transfer.ground import warm

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Run:
    """One fetch: seconds from the request to the fsynced rename, and processor seconds of both sides."""

    seconds: float
    seed_cpu: float
    fetcher_cpu: float


class Contestant(Protocol):
    """A program that fetches the same bytes again and again."""

    @property
    def name(self) -> str: ...

    def run(self, folder: Path) -> Run:
        """Fetch once into this folder, from nothing, and remove what was fetched."""

    def stop(self) -> None:
        """End its processes."""


def compete(
    contestants: Sequence[Contestant], folder: Path, size: int, runs: int, *, warmed: int = 0
) -> dict[str, dict[str, Any]]:
    """`runs` rounds, everybody once in each; one round before that counts for nobody. Stops them all at the end.

    `warmed` bytes of memory are touched before each run; once for all would not do, see `warm`.
    """
    with contextlib.ExitStack() as stack:
        for contestant in contestants:
            stack.callback(contestant.stop)
        done: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
        for number in range(runs + 1):
            for contestant in contestants:
                os.sync()  # nobody waits for what another left to be written
                if warmed:
                    warm(warmed)
                run = contestant.run(folder)
                if number:
                    done[contestant.name].append(run)
    return {name: _told(of_one, size) for name, of_one in done.items()}


def _told(runs: list[Run], size: int) -> dict[str, Any]:
    return {
        "mb_per_s": summary([size / run.seconds / 1e6 for run in runs], 1),
        "runs": [round(size / run.seconds / 1e6, 1) for run in runs],
        "seed_cpu_s_per_gib": round(statistics.median(run.seed_cpu for run in runs) * GIB / size, 2),
        "fetcher_cpu_s_per_gib": round(statistics.median(run.fetcher_cpu for run in runs) * GIB / size, 2),
    }


def ratio(results: dict[str, dict[str, Any]], ours: str, others: str) -> float | None:
    """Our median over the best median of those whose names begin with `others`; None without any."""
    theirs = [told["mb_per_s"]["median"] for name, told in results.items() if name.startswith(others)]
    return round(results[ours]["mb_per_s"]["median"] / max(theirs), 2) if theirs else None
