"""What a transfer does to those who wait: how soon its first chunk is verified, how long a ping takes meanwhile, and
how much memory it takes."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dhtshare.content.chunks import MIN_CHUNK_SIZE
from dhtshare.content.paths import dot_name
from dhtshare.control.client import connect
from dhtshare.control.protocol import End, Request, Result
from dhtshare.library.claims import BITMAP_SUFFIX
from dhtshare.library.home import Home
from scripts.benchmarks.content import summary
from scripts.benchmarks.goals import at_most
from scripts.benchmarks.transfer.ground import MEMORY, fill, forget_peak, peak_bytes, resident_bytes
from scripts.benchmarks.transfer.ours import Dhtshare
from tests.processes import Network, Node

HEAD_BYTES = 69
"""Of the bitmap beside an unfinished file: what is behind them is the bitmap."""

PINGS = 300
SPARSE_BYTES = 20 << 30


def ask(node: Node, op: str, **arguments: object) -> dict[str, Any]:
    """The result of one request to a running node over its control socket, without the start of a command."""
    client = connect(Home(node.home.path).control_socket())
    assert client is not None
    result: dict[str, Any] = {}
    with client:
        for answer in client.ask(Request(op, arguments, node.home.network.name)):
            if isinstance(answer, Result):
                result = answer.fields
            if isinstance(answer, End) and answer.code:
                raise AssertionError(answer.message)
    return result


def first(size: int, runs: int) -> dict[str, Any]:
    """Milliseconds from the request on a running node to the first verified chunk on the disk.

    Seen from outside, in the bitmap beside the unfinished file. Every run has a new fetcher that never met the
    seed. `hinted` names the seed, so that no lookup is needed; `looked_up` finds it in a network of five nodes.
    """
    size = min(size, 64 << 20)
    hinted, looked_up = [], []
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, Network(Path(name)) as network:
        folder = Path(name)
        source = folder / "source.bin"
        fill(source, size)
        seed, *_ = network.nodes(4)
        content = seed.run("publish", source).result["hash"]
        for number in range(runs):
            for peers, waits in (([seed.address], hinted), ([], looked_up)):
                fetcher = network.node()
                waits.append(_first_ms(fetcher, content, folder / f"{number}.{len(peers)}", source.name, peers))
                fetcher.stop()
    return {
        "hinted_ms": summary(hinted, 1),
        "looked_up_ms": summary(looked_up, 1),
        "runs_ms": {"hinted": [round(one, 1) for one in hinted], "looked_up": [round(one, 1) for one in looked_up]},
        "first_verified_ms": at_most(round(statistics.median(hinted), 1), 50.0),
    }


def _first_ms(fetcher: Node, content: str, folder: Path, name: str, peers: list[str]) -> float:
    folder.mkdir()
    bitmap, seen = folder / dot_name(name, BITMAP_SUFFIX), []
    arguments = {"targets": [content], "output": str(folder), "peers": peers, "seed": False, "timeout": 30.0}
    begun = time.perf_counter()

    def watch() -> None:
        while not seen:
            try:
                claimed = bitmap.read_bytes()[HEAD_BYTES:]
            except FileNotFoundError:
                claimed = b""
            if any(claimed) or (folder / name).exists():
                seen.append(time.perf_counter() - begun)
            time.sleep(0.0005)

    watching = threading.Thread(target=watch)
    watching.start()
    ask(fetcher, "fetch", **arguments)
    watching.join()
    return seen[0] * 1000


def ping(size: int, runs: int) -> dict[str, Any]:
    """Milliseconds of a third node's pings through a seed at full upload, and through the same seed at rest."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        source = folder / "source.bin"
        fill(source, size)
        contest = Dhtshare(source)
        seed = contest.seeds[0]
        try:
            other = seed.home.network.node()
            idle = sorted(_pings(other, seed, PINGS))
            ended = threading.Event()
            rates: list[float] = []

            def load() -> None:
                while not ended.is_set():
                    rates.append(size / contest.run(folder).seconds / 1e6)

            loading = threading.Thread(target=load)
            loading.start()
            time.sleep(1)
            busy = sorted(_pings(other, seed, PINGS))
            ended.set()
            loading.join()
        finally:
            contest.stop()
    return {
        "upload_mb_per_s": summary(rates, 1),
        "idle_ms": _spread(idle),
        "busy_ms": _spread(busy),
        "p95_ms": at_most(_spread(busy)["p95"], 20.0),
    }


def _pings(asking: Node, asked: Node, count: int) -> Iterator[float]:
    for _ in range(count):
        yield float(ask(asking, "dht_ping", address=asked.address)["ms"])
        time.sleep(0.01)


def _spread(values: list[float]) -> dict[str, float]:
    """Of sorted values."""
    return {
        "p50": round(values[len(values) // 2], 2),
        "p95": round(values[len(values) * 95 // 100], 2),
        "max": round(values[-1], 2),
    }


def memory(size: int, runs: int) -> dict[str, Any]:
    """The fetcher's peak of resident memory, over so many fetches by one node."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        source = Path(name) / "source.bin"
        fill(source, size)
        return _memory(source, Path(name), runs)


def sparse(size: int, runs: int) -> dict[str, Any]:
    """The same for one file of 20 GiB on the disk, of chunks that differ and yet take hardly any room at the seed."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source.bin"
        with source.open("wb") as file:
            os.truncate(file.fileno(), SPARSE_BYTES)
            for at in range(0, SPARSE_BYTES, MIN_CHUNK_SIZE):
                os.pwrite(file.fileno(), at.to_bytes(8, "big"), at)
        return {"bytes": SPARSE_BYTES, **_memory(source, Path(name), 1)}


def _memory(source: Path, folder: Path, runs: int) -> dict[str, Any]:
    contest = Dhtshare(source)
    try:
        process = contest.fetcher.running.process.pid
        before = resident_bytes(process)
        forget_peak(process)
        rates = [source.stat().st_size / contest.run(folder).seconds / 1e6 for _ in range(runs)]
        peak = peak_bytes(process)
    finally:
        contest.stop()
    return {
        "before_bytes": before,
        "peak_bytes": peak,
        "mb_per_s": summary(rates, 1),
        "peak_mb": at_most(round(peak / 1e6, 1), 120.0),
    }
