"""What a process must not gather for ever: memory, descriptors, disk. Samples, and whether they slope."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MEMORY_GROWTH_BYTES = 12 << 20  # what caches may still fill after the first half of a run
DESCRIPTOR_GROWTH = 8
DISK_GROWTH_BYTES = 8 << 20


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """Open file descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


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


LIMITS = {"memory": MEMORY_GROWTH_BYTES, "descriptors": DESCRIPTOR_GROWTH, "disk": DISK_GROWTH_BYTES}


class Gauges:
    """Samples of one process that lives through the whole run."""

    def __init__(self) -> None:
        self._samples: defaultdict[str, list[float]] = defaultdict(list)

    def sample(self, pid: int, home: Path) -> None:
        self._samples["memory"].append(resident(pid))
        self._samples["descriptors"].append(descriptors(pid))
        self._samples["disk"].append(folder_bytes(home))

    def report(self) -> dict[str, Any]:
        """First, last and highest of each, and its growth: median of the last quarter less that of the second."""
        return {
            name: {
                "first": values[0],
                "last": values[-1],
                "highest": max(values),
                "growth": growth(values),
                "slopes": growth(values) > LIMITS[name],
            }
            for name, values in self._samples.items()
        }

    def slopes(self) -> list[str]:
        """What grew by more than it may."""
        return [name for name, values in self._samples.items() if growth(values) > LIMITS[name]]


def growth(values: Sequence[float]) -> float:
    """Median of the last quarter of the samples less the median of the second quarter; 0 for fewer than 8."""
    quarter = len(values) // 4
    if quarter < 2:
        return 0.0
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter])
