"""How much more disk an unfinished fetch takes than the chunks that it claims as verified.

The fetching process is stopped (SIGSTOP) again and again; while it stands still, the blocks of all that it has written
are counted against its own bitmap.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.goals import at_most
from tests.processes import Network, Running
from tests.unfinished import claimed

MIB = 1 << 20
CHUNK = MIB
SEEDS = 3
RATE = "16M"  # bytes per second of each seed: the fetch takes some seconds
PAUSE_SECONDS = 0.05
GOAL_CHUNKS = 8.0  # threats.md
BLOCK_BYTES = 512  # the unit of st_blocks


def disk_use(*arguments: str) -> dict[str, Any]:
    """A file of `--mib` from three seeds; what one sample showed at most, and in the middle."""
    parser = argparse.ArgumentParser(prog="scripts/bench disk-use")
    parser.add_argument("--mib", type=int, default=256)
    chunks = parser.parse_args(arguments).mib
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        beyond = sample(network, chunks)
    return {
        "chunks": chunks,
        "samples": len(beyond),
        "most_chunks_beyond": at_most(round(max(beyond), 2), GOAL_CHUNKS),
        "median_chunks_beyond": round(statistics.median(beyond), 2),
    }


def sample(network: Network, chunks: int) -> list[float]:
    """Chunks of disk used beyond those claimed, at moments of one fetch of so many."""
    seeds = [network.node("--max-upload", RATE) for _ in range(SEEDS)]
    source = network.folder / "source.bin"
    source.write_bytes(os.urandom(chunks * CHUNK - 12345))
    for seed in seeds:
        content = seed.run("publish", source).result["hash"]
    out = network.folder / "out"
    fetching = network.home().start("fetch", content, "-o", out, *network.join())
    fetching.wait_for_event("progress", lambda line: line["done"] > 0)
    beyond: list[float] = []
    while _stands_still(fetching):
        try:
            figure = _beyond(out, bytes.fromhex(content), chunks)
        finally:
            fetching.signal(signal.SIGCONT)
        if figure is not None:
            beyond.append(figure)
        time.sleep(PAUSE_SECONDS)
    assert fetching.finish(60.0).code == 0
    assert (out / source.name).read_bytes() == source.read_bytes()
    return beyond


def _stands_still(running: Running) -> bool:
    """Stops the process and waits until all of its threads stand; False where it has ended."""
    running.signal(signal.SIGSTOP)
    while running.process.poll() is None:
        try:
            threads = Path(f"/proc/{running.process.pid}/task").iterdir()
            states = {(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads}
        except OSError:
            continue  # a thread ended while it was looked at
        if states == {"T"}:
            return True
        time.sleep(0.001)
    return False


def _beyond(out: Path, content: bytes, chunks: int) -> float | None:
    """None at a moment without an unfinished file."""
    have = claimed(out, content, chunks)
    if have is None:
        return None
    used = sum(path.stat().st_blocks * BLOCK_BYTES for path in out.iterdir())
    return used / CHUNK - len(have)
