"""A million hostile datagrams: from forged sources, among liars in virtual time, and on real sockets.

hostile-datagrams [DATAGRAMS [SEED]]. It must print 0 faults (an unhandled exception, a socket or a node that does not
go on) and a growth of at most 64 MB: from the start for forged sources, each of which is a new address; for the others
after a first 50,000, when tables and caches are full.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.goals import at_most
from tests.hostile.datagrams import among_liars, forged_sources, on_sockets

DATAGRAMS = 1_000_000
GROUNDS = {  # and how many datagrams come before its memory is reckoned
    "forged_sources": (forged_sources, 1_000),
    "among_liars": (among_liars, 50_000),
    "on_sockets": (on_sockets, 50_000),
}
LIMIT_MB = 64.0


def hostile(datagrams: str = str(DATAGRAMS), seed: str = "1") -> dict[str, Any]:
    """Each ground in turn."""
    figures: dict[str, Any] = {"seed": int(seed)}
    total, faults, growth = 0, 0, 0.0
    for name, (ground, warm_up) in GROUNDS.items():
        ground(warm_up, seed=int(seed))
        before, began = _resident(), time.perf_counter()
        met = ground(int(datagrams) // len(GROUNDS), seed=int(seed) + 1)
        grown = _resident() - before
        figures[name] = {
            "requests": met.requests,
            "answers": met.answers,
            "faults": met.faults[:5],
            "memory_growth_mb": round(grown, 1),
            "seconds": round(time.perf_counter() - began, 1),
        }
        total, faults, growth = total + met.datagrams, faults + len(met.faults), max(growth, grown)
    return {
        **figures,
        "datagrams": total,
        "faults": at_most(faults, 0),
        "memory_growth_mb": at_most(round(growth, 1), LIMIT_MB),
    }


def _resident() -> float:
    """MB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
