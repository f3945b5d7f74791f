"""How long this machine has slept: the monotonic clock, by which everything is due, stands still meanwhile."""

from __future__ import annotations

import sys
import time


def seconds_slept() -> float:
    """Since the machine was started; only its growth means something. 0.0 for ever where the system does not tell.

    Linux counts sleep in CLOCK_BOOTTIME and not in what `time.monotonic` reads; macOS in CLOCK_MONOTONIC and not in
    the absolute time that `time.monotonic` reads there.
    """
    name = "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    clock = getattr(time, name, None)
    return 0.0 if clock is None else time.clock_gettime(clock) - time.monotonic()
