"""libtorrent as a contestant: a process for each seed and one for the fetcher, told what to do in JSON lines.

Tuned as its makers tune a fast seed: `high_performance_seed`, TCP only, no limits, no discovery. Which pieces and
which version of the format serve it best differs from row to row, so all four are tried and the best one counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scripts.benchmarks.transfer.contest import Run
from scripts.benchmarks.transfer.ground import cpu_seconds

PIECES = (1 << 20, 4 << 20)
VERSIONS = ("v1", "v2")


def available() -> bool:
    """Whether libtorrent is installed here."""
    return find_spec("libtorrent") is not None


class Child:
    """One process with one libtorrent session."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "scripts.benchmarks.transfer.torrent_session"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do: str, **fields: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"do": do, **fields}), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.process.pid)

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Libtorrent:
    """Seeds of one path and a fetcher, for all runs."""

    def __init__(self, source: Path, piece: int, version: str, *, seeds: int = 1, in_place: bool = False) -> None:
        self.name = f"libtorrent {version} {piece >> 20 or piece / (1 << 20):g} MiB"
        self._source = source
        self._in_place = in_place
        self._torrent = source.parent / f"{source.name}.{version}.{piece}.torrent"
        self._seeds = [Child() for _ in range(seeds)]
        self._fetcher = Child()
        self._seeds[0].ask("create", source=str(source), torrent=str(self._torrent), piece=piece, version=version)
        self._ports = [
            seed.ask("seed", torrent=str(self._torrent), folder=str(source.parent))["port"] for seed in self._seeds
        ]

    def run(self, folder: Path) -> Run:
        """Fetch into the folder."""
        seeds_before, before = sum(seed.cpu for seed in self._seeds), self._fetcher.cpu
        answer = self._fetcher.ask(
            "fetch",
            torrent=str(self._torrent),
            folder=str(folder / self.name.replace(" ", "-")),
            ports=self._ports,
            in_place=self._in_place,
        )
        fetcher_cpu, seed_cpu = self._fetcher.cpu - before, sum(seed.cpu for seed in self._seeds) - seeds_before
        return Run(answer["seconds"], seed_cpu, fetcher_cpu)

    def stop(self) -> None:
        """End all processes."""
        for child in (self._fetcher, *self._seeds):
            child.stop()


def all_settings(source: Path, *, seeds: int = 1, in_place: bool = False) -> list[Libtorrent]:
    """libtorrent under each of its settings; none where it is not installed."""
    if not available():
        return []
    return [
        Libtorrent(source, piece, version, seeds=seeds, in_place=in_place) for piece in PIECES for version in VERSIONS
    ]
