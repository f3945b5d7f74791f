"""The rows of the table: `scripts/bench transfer [ROW…] [--bytes N] [--runs N]`."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmarks.goals import at_least, at_most
from scripts.benchmarks.transfer import torrent
from scripts.benchmarks.transfer.bare import Bare
from scripts.benchmarks.transfer.contest import compete, ratio
from scripts.benchmarks.transfer.far import far
from scripts.benchmarks.transfer.ground import MEMORY, enter_namespace, fill, write_rate
from scripts.benchmarks.transfer.ours import Dhtshare
from scripts.benchmarks.transfer.presence import first, memory, ping, sparse

SIZE = 1 << 30
RUNS = 5
FILES, FILE_BYTES = 10_000, 4096
Results = dict[str, Any]


@contextmanager
def _material(where: Path | None, size: int) -> Iterator[tuple[Path, Path]]:
    """A source file and a folder to fetch into, both in memory or both on the disk."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=where) as name:
        folder = Path(name)
        source = folder / "source.bin"
        fill(source, size)
        yield source, folder


def tmpfs(size: int, runs: int) -> Results:
    """One seed, a fresh file in memory."""
    with _material(MEMORY, size) as (source, folder):
        contestants = [Dhtshare(source), Bare(source), *torrent.all_settings(source)]
        results = compete(contestants, folder, size, runs, warmed=2 * size)
    ours = results["dhtshare"]
    return {
        **results,
        "over_libtorrent": at_least(ratio(results, "dhtshare", "libtorrent"), 2.5),
        "of_bare": at_least(ratio(results, "dhtshare", "bare"), 0.7),
        "seed_cpu": at_most(ours["seed_cpu_s_per_gib"], 0.3),
        "fetcher_cpu": at_most(ours["fetcher_cpu_s_per_gib"], 1.5),
    }


def disk(size: int, runs: int) -> Results:
    """One seed, a fresh file on the disk of the temporary folder."""
    with _material(None, size) as (source, folder):
        rate = write_rate(folder, size)
        results = compete([Dhtshare(source), Bare(source), *torrent.all_settings(source)], folder, size, runs)
    return {
        **results,
        "disk_mb_per_s": round(rate, 1),
        "over_libtorrent": at_least(ratio(results, "dhtshare", "libtorrent"), 1.0),
        "of_bare": at_least(ratio(results, "dhtshare", "bare"), 0.8),
    }


def place(size: int, runs: int) -> Results:
    """One seed, an unfinished file of full size in memory of which nothing is claimed."""
    with _material(MEMORY, size) as (source, folder):
        contestants = [
            Dhtshare(source, in_place=True),
            Bare(source, in_place=True),
            *torrent.all_settings(source, in_place=True),
        ]
        results = compete(contestants, folder, size, runs, warmed=2 * size)
    return {
        **results,
        "over_libtorrent": at_least(ratio(results, "dhtshare", "libtorrent"), 4.0),
        "of_bare": at_least(ratio(results, "dhtshare", "bare"), 0.7),
    }


def tls(size: int, runs: int) -> Results:
    """One seed over TLS 1.3, beside libtorrent in the clear and the least that TLS can be here."""
    with _material(MEMORY, size) as (source, folder):
        contestants = [
            Dhtshare(source, name="dhtshare TLS", tls=True),
            Dhtshare(source, name="in place TLS", tls=True, in_place=True),
            Bare(source, tls=True),
            *torrent.all_settings(source),
        ]
        results = compete(contestants, folder, size, runs, warmed=2 * size)
    return {
        **results,
        "over_libtorrent": at_least(ratio(results, "dhtshare TLS", "libtorrent"), 1.5),
        "of_bare": ratio(results, "dhtshare TLS", "bare TLS"),
    }


def seeds(size: int, runs: int) -> Results:
    """Four seeds without limits, a fresh file in memory."""
    with _material(MEMORY, size) as (source, folder):
        contestants = [Dhtshare(source, seeds=4), *torrent.all_settings(source, seeds=4)]
        results = compete(contestants, folder, size, runs, warmed=2 * size)
    return {**results, "over_libtorrent": at_least(ratio(results, "dhtshare", "libtorrent"), 2.0)}


def small(size: int, runs: int) -> Results:
    """A collection of 10,000 files of 4 KiB, into memory."""
    size = FILES * FILE_BYTES
    with tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY) as name:
        folder = Path(name)
        source = folder / "source"
        source.mkdir()
        for number in range(FILES):
            (source / f"{number:05}.bin").write_bytes(os.urandom(FILE_BYTES))
        contestants = [Dhtshare(source)]
        if torrent.available():
            contestants += [torrent.Libtorrent(source, 1 << 20, version) for version in torrent.VERSIONS]
        results = compete(contestants, folder, size, runs)
    for told in results.values():
        told["files_per_s"] = round(told["mb_per_s"]["median"] * 1e6 / FILE_BYTES)
    return {**results, "files_per_s": at_least(results["dhtshare"]["files_per_s"], 4000)}


ROWS: dict[str, Callable[[int, int], Results]] = {
    "tmpfs": tmpfs,
    "disk": disk,
    "place": place,
    "tls": tls,
    "seeds": seeds,
    "small": small,
    "first": first,
    "ping": ping,
    "memory": memory,
    "sparse": sparse,
    "far": far,
}
DEFAULT = tuple(row for row in ROWS if row not in ("sparse", "far"))
"""All but the one that writes 20 GiB, and the one that is no race over loopback."""


def _bytes(text: str) -> int:
    unit = {"K": 10, "M": 20, "G": 30}.get(text[-1:].upper())
    return int(text[:-1]) << unit if unit else int(text)


def transfer(*arguments: str) -> Results:
    """All rows, or those that are named."""
    parser = argparse.ArgumentParser(prog="scripts/bench transfer")
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--bytes", type=_bytes, default=SIZE, metavar="N", help="of the file; K, M, G (default 1G)")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"medians are over these (default {RUNS})")
    chosen = parser.parse_args(arguments)
    congestion = enter_namespace()
    return {
        "bytes": chosen.bytes,
        "runs": chosen.runs,
        "fsync": "fsync, rename and the folder's fsync inside the clock, for everybody",
        "congestion_control": congestion,
        "libtorrent": _libtorrent_version(),
        **{row: ROWS[row](chosen.bytes, chosen.runs) for row in chosen.rows or DEFAULT},
    }


def _libtorrent_version() -> str | None:
    if not torrent.available():
        return None
    import libtorrent

    return str(libtorrent.__version__)
