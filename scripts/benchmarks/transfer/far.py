"""A seed at the end of a long line: what of the line each program uses, its start included."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.benchmarks.content import summary
from scripts.benchmarks.transfer import torrent
from scripts.benchmarks.transfer.ground import MEMORY, fill
from scripts.benchmarks.transfer.ours import TLS
from scripts.benchmarks.transfer.relay import relay
from tests.processes import Network

RATE = 50e6
"""Bytes a second: a line of 400 Mbit/s."""

ROUND_TRIPS = (0.02, 0.1, 0.3)
"""Seconds: a neighbouring country, another continent, a satellite or a mobile phone."""

SIZE = 256 << 20

Fetch = Callable[[int], float]
"""Fetch from the seed at this port, once; how many seconds it took."""


def far(size: int, runs: int) -> dict[str, Any]:
    """Share of the ideal, the file's size over the line's rate, beside libtorrent on the same lines."""
    size = min(size, SIZE)
    told: dict[str, Any] = {"rate_mb_per_s": RATE / 1e6, "bytes": size}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY)))
        source = folder / "source.bin"
        fill(source, size)
        sides = {
            "dhtshare": _ours(stack, source, folder / "plain"),
            "dhtshare TLS": _ours(stack, source, folder / "tls", *TLS),
        }
        if torrent.available():
            sides["libtorrent"] = _theirs(stack, source, folder)
        for round_trip in ROUND_TRIPS:
            told[f"{round_trip * 1000:g}_ms"] = {
                name: _share([_once(fetch, port, round_trip) for _ in range(runs)], size)
                for name, (port, fetch) in sides.items()
            }
    return told


def _once(fetch: Fetch, port: int, round_trip: float) -> float:
    with relay(port, rate=RATE, round_trip=round_trip) as far_port:
        return fetch(far_port)


def _share(seconds: list[float], size: int) -> dict[str, Any]:
    shares = [size / RATE / one for one in seconds]
    return {"share": round(statistics.median(shares), 3), "worst": round(min(shares), 3), "s": summary(seconds, 2)}


def _ours(stack: ExitStack, source: Path, folder: Path, *options: str) -> tuple[int, Fetch]:
    """Two nodes that do not know of each other, so that only the relay leads from one to the other."""
    folder.mkdir()
    network = stack.enter_context(Network(folder))
    seed = network.node(*options)
    network.bootstrap = None
    fetcher = network.node(*options)
    content = seed.run("publish", source).result["hash"]

    def fetch(port: int) -> float:
        out = folder / "out"
        peer = f"127.0.0.1:{port}"
        result = fetcher.run("fetch", content, "--peer", peer, "--no-seed", "-o", out, timeout=300).result
        assert result["downloaded"] == source.stat().st_size
        shutil.rmtree(out)
        return float(result["seconds"])

    return int(seed.address.rpartition(":")[2]), fetch


def _theirs(stack: ExitStack, source: Path, folder: Path) -> tuple[int, Fetch]:
    seed, fetcher = torrent.Child(), torrent.Child()
    stack.callback(seed.stop)
    stack.callback(fetcher.stop)
    file = str(folder / "far.torrent")
    seed.ask("create", source=str(source), torrent=file, piece=1 << 20, version="v1")
    port = int(seed.ask("seed", torrent=file, folder=str(folder))["port"])

    def fetch(far_port: int) -> float:
        out = str(folder / "theirs")
        answer = fetcher.ask("fetch", torrent=file, folder=out, ports=[far_port], in_place=False)
        return float(answer["seconds"])

    return port, fetch
