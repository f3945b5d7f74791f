"""What hostile peers cost an honest transfer: one seed, one fetcher, and a crowd against the seed, in turn.

Each crowd's fetches stand beside fetches without one, made right before, so that the ratio does not know the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.benchmarks.content import summary
from scripts.benchmarks.goals import at_least, at_most
from tests.processes import Network, Node

BYTES = 256 << 20
RUNS = 3
FRAMES = 100_000
# The goals of threats.md. Back to the baseline: but for what an allocator keeps, and the fetcher's connection.
LEAST_RATIO = 0.8
CLOSE_SECONDS = 10.0
MOST_MEMORY = 64 << 20
MEMORY_KEPT = 16 << 20
ONE_CONNECTION = 3
CROWDS: dict[str, tuple[str, ...]] = {
    # the 500 are greeted, so that they are as real as connections that do nothing can be
    "idle_500": ("greeted", "--count", "500"),
    "silent_500": ("idle", "--count", "500"),
    "slowloris_200": ("slow", "--count", "200"),
    "takers_100": ("takers", "--count", "100"),
    "resets": ("resets",),
}


@contextlib.contextmanager
def crowd(
    kind: tuple[str, ...], address: str, network: str, content: str, *more: str
) -> Iterator[subprocess.Popen[str]]:
    """A crowd that stands; ended on leaving."""
    command = [sys.executable, "-m", "scripts.benchmarks.crowd", kind[0], address, network, content, *kind[1:], *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(30)


def descriptors(node: Node) -> int:
    """Open files of a node's process."""
    return sum(1 for _ in Path(f"/proc/{node.running.process.pid}/fd").iterdir())


def resident(node: Node) -> int:
    """Its resident bytes."""
    pages = Path(f"/proc/{node.running.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _fetch(node: Node, content: str, out: Path) -> float:
    result = node.run("fetch", content, "-o", out, "--no-seed").result
    Path(result["path"]).unlink()
    assert result["downloaded"] == BYTES
    return BYTES / result["seconds"] / 1e6


def _scope(folder: Path, *options: str, hosts: int) -> dict[str, Any]:
    more = ("--hosts", str(hosts), *(("--tls",) if options else ()))
    figures: dict[str, Any] = {}
    with Network(folder) as network:
        seed, node = network.node(*options), network.node(*options)
        path = folder / "large.bin"
        path.write_bytes(os.urandom(BYTES))
        content = seed.run("publish", path).result["hash"]
        _fetch(node, content, folder / "out")
        memory, files = resident(seed), descriptors(seed)
        most = memory
        for name, kind in CROWDS.items():
            alone, beside = [], []
            for _ in range(RUNS):
                alone.append(_fetch(node, content, folder / "out"))
                with crowd(kind, seed.address, network.name, content, *more):
                    time.sleep(1.0)
                    beside.append(_fetch(node, content, folder / "out"))
                    most = max(most, resident(seed))
            figures[name] = {
                "mb_per_s": summary(beside, 1),
                "alone_mb_per_s": summary(alone, 1),
                "ratio": at_least(round(statistics.median(beside) / statistics.median(alone), 3), LEAST_RATIO),
                "worst_pair": round(min(one / other for one, other in zip(beside, alone, strict=True)), 3),
            }
        with crowd(("frames", "--count", str(FRAMES)), seed.address, network.name, content, *more) as process:
            assert process.stdout is not None
            frames = json.loads(process.stdout.readline())
            most = max(most, resident(seed))
        figures["frames"] = frames | {
            "slowest_close_s": at_most(round(frames["slowest_close_s"], 1), CLOSE_SECONDS),
            "bad_kept": at_most(frames["bad_kept"], 0),
        }
        time.sleep(12)  # what was left half said is ended by now
        figures["memory_more_bytes"] = at_most(most - memory, MOST_MEMORY)
        figures["memory_more_after_bytes"] = at_most(resident(seed) - memory, MEMORY_KEPT)
        figures["descriptors_before"] = files
        figures["descriptors_after"] = at_most(descriptors(seed), files + ONE_CONNECTION)
        figures["fetches_after_mb_per_s"] = round(_fetch(node, content, folder / "out"), 1)
    return figures


def hostile(*scopes: str) -> dict[str, Any]:
    """Both scopes, or those named: lan (plain, one address), global (TLS, 70 addresses, few places for each)."""
    figures: dict[str, Any] = {"bytes": BYTES, "runs": RUNS}
    with tempfile.TemporaryDirectory() as name:
        for scope in scopes or ("lan", "global"):
            folder = Path(name) / scope
            folder.mkdir()
            options = ("--treat-as-public", "127.0.0.0/8") if scope == "global" else ()
            figures[scope] = _scope(folder, *options, hosts=70 if scope == "global" else 1)
    return figures
