"""Whole processes on loopback: start-up, memory, publishing a library."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.content import summary, timed
from tests.processes import Home, Network, Node

RUNS = 11
FILES = 10_000
FILE_BYTES = 4096


def _python(code: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def _command(home: Home, *arguments: object) -> float:
    return timed(lambda: home.run(*arguments))


def _files(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"bench {number} file.dat").write_bytes(os.urandom(FILE_BYTES))
    return folder


def startup() -> dict[str, Any]:
    """`--version` beside bare Python with typer; search and fetch of 1 KiB by a running node beside `--version`."""
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        seed, node = network.nodes(2)
        path = Path(folder) / "tiny walrus.bin"
        path.write_bytes(os.urandom(1024))
        content = seed.run("publish", path).result["hash"]
        out = Path(folder) / "out"
        rounds = [
            (
                _python("import typer"),
                _command(node.home, "--version"),
                _command(node.home, "search", "walrus"),
                _command(node.home, "fetch", content, "-o", out / str(number), "--no-seed"),
            )
            for number in range(RUNS)
        ]
    typer, version, search, fetch = (list(column) for column in zip(*rounds, strict=True))
    return {
        "python_and_typer_s": summary(typer),
        "version_s": summary(version),
        "version_ratio": round(statistics.median(version) / statistics.median(typer), 3),
        "search_more_ms": round(1000 * (statistics.median(search) - statistics.median(version)), 1),
        "fetch_more_ms": round(1000 * (statistics.median(fetch) - statistics.median(version)), 1),
        "search_s": summary(search),
        "fetch_s": summary(fetch),
    }


def _resident(node: Node) -> int:
    return int(node.run("status").result["memory"])


def memory() -> dict[str, Any]:
    """Resident bytes of a node without and with 10,000 files; seconds from its restart to `ready`."""
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        _, node = network.nodes(2)
        empty = _resident(node)
        files = _files(Path(folder) / "files", FILES)
        node.run("publish", *sorted(files.iterdir()), timeout=600)
        full = _resident(node)
        node.stop()
        begun = time.perf_counter()
        again = node.home.node(*network.join())
        ready = time.perf_counter() - begun
        time.sleep(5)
        restarted = _resident(again)
    return {
        "files": FILES,
        "empty_bytes": empty,
        "with_files_bytes": full,
        "restarted_bytes": restarted,
        "restart_ready_s": round(ready, 3),
    }


def publish() -> dict[str, Any]:
    """10,000 files of 4 KiB published to a network of five nodes, receipts included."""
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        node = network.nodes(5)[-1]
        files = sorted(_files(Path(folder) / "files", FILES).iterdir())
        begun = time.perf_counter()
        results = node.run("publish", *files, timeout=600).results
        seconds = time.perf_counter() - begun
    receipts = [result["receipt"] for result in results]
    return {
        "files": len(results),
        "seconds": round(seconds, 2),
        "quorum": sum(receipt["quorum"] for receipt in receipts),
        "acks": sum(receipt["acks"] for receipt in receipts),
        "verified": sum(receipt["verified"] for receipt in receipts),
    }
