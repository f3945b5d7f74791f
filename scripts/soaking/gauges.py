"""What a process must not gather for ever: memory, descriptors, disk. Samples over time, and the slope through them.

The slope is Theil and Sen's: the median of the slopes between every two samples, which a step, a peak or a late
burst in fewer than 29 % of the samples does not move. What grows in every part of a run moves it.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from dhtshare.library.handles import OPEN_FILES
from dhtshare.transfer.buffers import BLOCKS

WARM_UP = 1 / 3  # of a run: caches, pools and tables fill
LEAST_SAMPLES = 12  # after the warm-up; with fewer a slope says nothing
SLACK = 2  # descriptors: a command that asks it, a datagram socket on its way
MOST_SAMPLES = 240  # more are thinned: every two are compared


@dataclass(frozen=True, slots=True)
class Limit:
    """A slope counts where it is steeper than `per_hour` and made more than `noise` since the warm-up."""

    per_hour: float
    noise: float


LIMITS = {
    # Buffers of a chunk are kept for the next: a node that fetched several at once has them from then on.
    "memory": Limit(per_hour=16 << 20, noise=BLOCKS[1 << 20] * (1 << 20)),
    # Eight files are kept open, and for two minutes a connection each way to every other node of ten.
    # What a fetch leaves for ever shows sooner in `settled`.
    "descriptors": Limit(per_hour=8, noise=26),
    "disk": Limit(per_hour=8 << 20, noise=1 << 20),
}


@dataclass(slots=True)
class Series:
    """One quantity of one process: (seconds, value), in order."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    def after(self, warm: float) -> list[tuple[float, float]]:
        return [sample for sample in self.samples if sample[0] >= warm]

    def per_hour(self, warm: float) -> float | None:
        """The slope of the samples from `warm` on; None where they are fewer than LEAST_SAMPLES."""
        kept = self.after(warm)
        if len(kept) < LEAST_SAMPLES:
            return None
        kept = kept[:: -(-len(kept) // MOST_SAMPLES)]
        slopes = [(two[1] - one[1]) / (two[0] - one[0]) for one, two in combinations(kept, 2) if two[0] > one[0]]
        return 3600 * statistics.median(slopes) if slopes else None

    def grows(self, warm: float, limit: Limit) -> bool:
        """Whether its slope counts. False where it cannot be told: ask `per_hour` for that."""
        slope = self.per_hour(warm)
        if slope is None or slope <= limit.per_hour:
            return False
        kept = self.after(warm)
        return slope * (kept[-1][0] - kept[0][0]) / 3600 > limit.noise


class Gauge:
    """The series of one process, from its start to its end."""

    def __init__(self, name: str, pid: int, home: Path, began: float, *, whole_run: bool) -> None:
        self.name = name
        self.whole_run = whole_run  #: whether it has to live, and be sampled, from the start to the end
        self.pid = pid
        self.began = began
        self._home = home
        self._series = {what: Series() for what in LIMITS}

    def sample(self, now: float) -> None:
        """Nothing where the process is gone meanwhile: whether it may be is for others to say."""
        try:
            values = {
                "memory": resident(self.pid),
                "descriptors": descriptors(self.pid),
                "disk": folder_bytes(self._home),
            }
        except OSError:
            return
        if values["memory"]:  # a process that ended and was not waited for has none
            for what, value in values.items():
                self._series[what].samples.append((now, value))

    def warm(self, run: float) -> float:
        """When its warm-up is over in a run of so many seconds: a process that starts later warms up later."""
        return self.began + WARM_UP * run

    def faults(self, run: float) -> list[str]:
        """What grows, and what cannot be told of a process that lived through the run."""
        found = []
        for what, series in self._series.items():
            if series.grows(self.warm(run), LIMITS[what]):
                found.append(f"{what} of {self.name} grows by {series.per_hour(self.warm(run)):.0f} an hour")
            elif self.whole_run and series.per_hour(self.warm(run)) is None:
                found.append(f"too few samples of the {what} of {self.name}: {len(series.after(self.warm(run)))}")
        return found

    def judged(self, run: float) -> bool:
        """Whether it lived long enough for a slope."""
        return self._series["memory"].per_hour(self.warm(run)) is not None

    def report(self, run: float) -> dict[str, Any]:
        """By quantity: first after the warm-up, last and highest value, samples, and the slope per hour."""
        return {"name": self.name} | {
            what: {
                "first": kept[0][1],
                "last": kept[-1][1],
                "highest": max(value for _, value in series.samples),
                "samples": len(kept),
                "per_hour": round(series.per_hour(self.warm(run)) or 0.0),
            }
            for what, series in self._series.items()
            if (kept := series.after(self.warm(run)))
        }


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """Open file descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def settled(now: int, at_first: int) -> bool:
    """Whether a node that is left alone has given back its descriptors, but for OPEN_FILES and SLACK."""
    return now <= at_first + OPEN_FILES + SLACK


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder that are still there when looked at."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).lstat().st_size
            except OSError:
                continue
    return total
