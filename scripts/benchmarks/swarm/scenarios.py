"""What is compared, and against which ideal: `scripts/bench swarm [NAME…]`.

Both programs fetch the same file over the same lines, one after the other, files in memory. The ideal is what the
lines carry (see links.py). BENCH_RUNS of each (1 unless told: a run takes as long as its lines are slow).
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scripts.benchmarks.goals import at_least, at_most
from scripts.benchmarks.swarm import ours, torrents
from scripts.benchmarks.swarm.course import Course
from scripts.benchmarks.swarm.links import MBIT, PAYLOAD_SHARE, Switch, payload_rate, why_not

RUNS = int(os.environ.get("BENCH_RUNS", "1"))
MIB = 1 << 20
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
LAST = 0.05


class Side(Protocol):
    """One of the two programs, running on the hosts."""

    name: str

    def fetch(self, path: Path, meanwhile: Callable[[float], None]) -> list[Course]: ...
    def kill(self, seed: int) -> None: ...
    def freeze(self, seed: int) -> None: ...


Fault = Callable[[Side], None]


@dataclass(frozen=True)
class Scenario:
    """Seeds with lines of so many Mbit/s up; fetchers with lines of so many both ways (0 = unlimited).

    `fault` befalls the last seed `fault_at` seconds after the start. Goals: share of the ideal, of the time for the
    LAST of the bytes, and copies that the first seed sends.
    """

    told: str
    mebibytes: int
    seeds: tuple[float, ...]
    fetchers: tuple[float, ...] = (0,)
    fault: Fault | None = None
    fault_at: float = 0.0
    of_ideal: float = 0.98
    last: float | None = None
    copies: float | None = None

    @property
    def ideal(self) -> float:
        """Seconds that the lines need; with a fault, what the others allow after it."""
        size = self.mebibytes * MIB
        if len(self.fetchers) > 1:  # each one's own line, filled by the seed and by the other fetchers
            return size / payload_rate(min(self.fetchers) * MBIT)
        every = payload_rate(sum(self.seeds) * MBIT)
        if self.fault is None:
            return size / every
        others = payload_rate(sum(self.seeds[:-1]) * MBIT)
        return self.fault_at + (size - every * self.fault_at) / others

    def run(self, make: Callable[[Path, Any, Any], AbstractContextManager[Side]], path: Path, folder: Path) -> Figures:
        """One program's turn."""
        with Switch() as switch:
            seeds = [switch.host(up=rate * MBIT) for rate in self.seeds]
            fetchers = [switch.host(up=rate * MBIT, down=rate * MBIT) for rate in self.fetchers]
            with make(folder, seeds, fetchers) as side:
                befallen = False

                def meanwhile(seconds: float) -> None:
                    nonlocal befallen
                    if self.fault is not None and not befallen and seconds >= self.fault_at:
                        befallen = True
                        self.fault(side)

                before = seeds[0].sent_bytes()
                courses = side.fetch(path, meanwhile)
                uploaded = (seeds[0].sent_bytes() - before) * PAYLOAD_SHARE
        slowest = max(courses, key=lambda course: course.seconds)
        return Figures(slowest.seconds, slowest.last_share(LAST), uploaded / (self.mebibytes * MIB))


@dataclass(frozen=True)
class Figures:
    """Of one run. `copies`: what the first seed sent, in sizes of the file."""

    seconds: float
    last_share: float
    copies: float


SCENARIOS = {
    "equal": Scenario("4 seeds of 50 Mbit/s", 512, (50,) * 4, last=0.055),
    "unequal": Scenario("seeds of 100, 50, 10 and 2 Mbit/s", 512, (100, 50, 10, 2), of_ideal=0.97),
    "killed": Scenario(
        "one of four seeds of 50 Mbit/s killed at 30 % of >= 60 s",
        *(1152, (50,) * 4, (0,)),
        fault=lambda side: side.kill(3),
        fault_at=18.0,
    ),
    "frozen": Scenario(
        "one of four seeds of 50 Mbit/s stopped at 30 % of >= 60 s",
        *(1152, (50,) * 4, (0,)),
        fault=lambda side: side.freeze(3),
        fault_at=18.0,
    ),
    "crowd": Scenario(
        "1 seed, 5 fetchers, all lines 100 Mbit/s", *(128, (100,), (100,) * 5), of_ideal=round(1 / 1.3, 3), copies=1.5
    ),
}


def swarm(*names: str) -> dict[str, Any]:
    """The scenarios of these names, or all: share of the ideal reached by each program, and the ratio."""
    if (reason := why_not()) is not None:
        return {"skipped": reason}
    for name in names:
        if name not in SCENARIOS:
            raise SystemExit(f"no scenario '{name}'; there are: {', '.join(SCENARIOS)}")
    return {"runs": RUNS, "scenarios": {name: _compare(SCENARIOS[name]) for name in names or SCENARIOS}}


def _compare(scenario: Scenario) -> dict[str, Any]:
    only = os.environ.get("BENCH_ONLY", "")
    found: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        path = Path(name) / "source.bin"
        with path.open("wb") as file:
            for _ in range(scenario.mebibytes):
                file.write(os.urandom(MIB))
        for run in range(RUNS):
            for side, make in (("dhtshare", _ours), ("libtorrent", torrents.Swarm)):
                if only in ("", side):
                    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
                        found.setdefault(side, []).append(scenario.run(make, path, Path(folder) / str(run)))
    return {
        "lines": scenario.told,
        "bytes": scenario.mebibytes * MIB,
        "ideal_s": round(scenario.ideal, 2),
        **{side: _figures(scenario, runs) for side, runs in found.items()},
        "goals": _goals(scenario, found["dhtshare"]) if "dhtshare" in found else {},
    }


def _goals(scenario: Scenario, runs: Sequence[Figures]) -> dict[str, Any]:
    figures = _figures(scenario, runs)
    goals = {"of_ideal": at_least(figures["of_ideal"], scenario.of_ideal)}
    if scenario.last is not None:
        goals["last_5_percent"] = at_most(figures["last_5_percent"], scenario.last)
    if scenario.copies is not None:
        goals["copies_sent_by_first_seed"] = at_most(figures["copies_sent_by_first_seed"], scenario.copies)
    return goals


def _ours(folder: Path, seeds: Sequence[Any], fetchers: Sequence[Any]) -> ours.Swarm:
    return ours.Swarm(folder, seeds, fetchers, os.environ.get("BENCH_NODE_OPTIONS", "").split())


def _figures(scenario: Scenario, runs: Sequence[Figures]) -> dict[str, Any]:
    seconds = [run.seconds for run in runs]
    return {
        "seconds": [round(one, 2) for one in seconds],
        "of_ideal": round(scenario.ideal / statistics.median(seconds), 4),
        "worst_of_ideal": round(scenario.ideal / max(seconds), 4),
        "last_5_percent": round(max(run.last_share for run in runs), 4),
        "copies_sent_by_first_seed": round(max(run.copies for run in runs), 2),
    }
