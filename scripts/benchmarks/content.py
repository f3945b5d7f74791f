"""How fast a file becomes a descriptor, beside BLAKE3 that only reads the same file."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blake3 import blake3

from dhtshare.content.hasher import hash_file

SIZE = 256 << 20
RUNS = 7
PIECE = 1 << 20


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def summary(values: list[float], digits: int = 4) -> dict[str, float]:
    """Median and both ends."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return {"median": round(middle, digits), "min": round(least, digits), "max": round(most, digits)}


def hashing() -> dict[str, Any]:
    """`hash_file` against `blake3` over a plain read of the same file, one process, in the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(os.urandom(SIZE))

        def plain() -> None:
            hasher, buffer = blake3(), bytearray(PIECE)
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    hasher.update(memoryview(buffer)[:count])

        ours, theirs = [], []
        for _ in range(RUNS):
            theirs.append(timed(plain))
            ours.append(timed(lambda: hash_file(path)))
    ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    return {"bytes": SIZE, "hash_file_s": summary(ours), "blake3_s": summary(theirs), "rate_ratio": round(ratio, 3)}
