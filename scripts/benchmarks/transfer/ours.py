"""dhtshare as a contestant: real node processes, asked by the command line."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.chunks import chunk_count
from dhtshare.content.paths import PART_SUFFIX, dot_name
from dhtshare.library.boot import boot_tag
from dhtshare.library.claims import BITMAP_SUFFIX, Claims
from dhtshare.nofollow import open_folder
from scripts.benchmarks.transfer.contest import Run
from scripts.benchmarks.transfer.ground import cpu_seconds
from tests.processes import Network, Node

TLS = ("--treat-as-public", "127.0.0.0/8")
"""Addresses of a global scope are encrypted, and there all of loopback is one network: contacts are not capped."""


class Dhtshare:
    """Seeds of one path and a fetcher, running nodes all of them, for all runs."""

    def __init__(
        self, source: Path, *, name: str = "dhtshare", seeds: int = 1, tls: bool = False, in_place: bool = False
    ) -> None:
        self.name = name
        self._stack = ExitStack()
        self._source = source
        self._in_place = in_place
        homes = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        network = self._stack.enter_context(Network(homes))
        options = TLS if tls else ()
        self.seeds = [network.node(*options) for _ in range(seeds)]
        self.fetcher = network.node(*options)
        for seed in self.seeds:
            self.content = str(seed.run("publish", source, timeout=600).result["hash"])
        self._hints = [word for seed in self.seeds for word in ("--peer", seed.address)] if tls else []

    def run(self, folder: Path) -> Run:
        """Fetch into the folder."""
        target = folder / self.name
        if self._in_place:
            self._make_unfinished(target)
        seeds_before = sum(cpu_seconds(_process(seed)) for seed in self.seeds)
        before = cpu_seconds(_process(self.fetcher))
        result = self.fetcher.run("fetch", self.content, "-o", target, "--no-seed", *self._hints, timeout=600).result
        fetcher_cpu = cpu_seconds(_process(self.fetcher)) - before
        seed_cpu = sum(cpu_seconds(_process(seed)) for seed in self.seeds) - seeds_before
        if result["downloaded"] != result["size"]:
            raise AssertionError(f"not fetched from nothing: {result}")
        if not self._in_place:
            shutil.rmtree(target)
        return Run(result["seconds"], seed_cpu, fetcher_cpu)

    def stop(self) -> None:
        """End all nodes."""
        self._stack.close()

    def _make_unfinished(self, target: Path) -> None:
        """A part of full size of which nothing is claimed; its pages are those of the last run."""
        name = self._source.name
        target.mkdir(exist_ok=True)
        part = target / dot_name(name, PART_SUFFIX)
        if (target / name).exists():
            (target / name).rename(part)
        else:
            shutil.copyfile(self._source, part)
            with part.open("r+b") as file:
                file.write(bytes(1 << 20))
        root = open_folder(None, target.parts[1:])
        claims = Claims.open(root, dot_name(name, BITMAP_SUFFIX))
        claims.write(bytes.fromhex(self.content), Bitfield(chunk_count(self._source.stat().st_size)), boot_tag())
        claims.close()


def _process(node: Node) -> int:
    return node.running.process.pid
