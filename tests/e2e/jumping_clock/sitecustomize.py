"""Put on a process's path: its wall clock runs beside the true one by the seconds in a file, read at every look."""

import os
import time
from pathlib import Path

_FILE = Path(os.environ["TEST_CLOCK_OFFSET_FILE"])
_true_time, _true_time_ns = time.time, time.time_ns


def _offset() -> int:
    return int(_FILE.read_text() or "0")


time.time = lambda: _true_time() + _offset()
time.time_ns = lambda: _true_time_ns() + _offset() * 1_000_000_000
