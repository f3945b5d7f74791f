"""Whether rate caps hold: `scripts/bench limits`.

Two nodes on unlimited lines, one fetching from the other, and the bytes counted where they leave the namespace (what
the kernel adds is taken off again). Every figure is the cap's share that passed in SECONDS.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmarks.goals import at_most
from scripts.benchmarks.swarm.links import Host, Switch, why_not
from scripts.benchmarks.swarm.ours import Swarm

SECONDS = 10.0
SETTLE_SECONDS = 2.0
MOST_OFF = 0.05
FILE_BYTES = 256 << 20
HEADER_BYTES = 66
"""Ethernet, IPv4, TCP with timestamps. A datagram has 24 fewer; that is left to the measurement's error."""

MIB, KIB = 1 << 20, 1 << 10


def limits() -> dict[str, Any]:
    """Upload and download caps, one changed on a running node, and a low one beside DHT traffic."""
    if (reason := why_not()) is not None:
        return {"skipped": reason}
    return {
        "seconds_each": SECONDS,
        **dict(_measured()),
    }


def _measured() -> Iterator[tuple[str, dict[str, Any]]]:
    with _transfer(seed_options=("--max-upload", "4M")) as (swarm, seed, _):
        yield "max_upload", _share(seed, "tx", 4 * MIB)
        _limit(swarm, 0, "--max-upload", "8M")
        yield "max_upload_raised_while_it_runs", _share(seed, "tx", 8 * MIB)
        _limit(swarm, 0, "--max-upload", "1M")
        yield "max_upload_lowered_while_it_runs", _share(seed, "tx", MIB)
    with _transfer(fetcher_options=("--max-download", "4M")) as (_, _, fetcher):
        yield "max_download", _share(fetcher, "rx", 4 * MIB)
    with _transfer(seed_options=("--max-upload", "256K")) as (swarm, seed, _):
        with swarm.searching(1):
            figures = _share(seed, "tx", 256 * KIB)
        yield "max_upload_with_dht_traffic", figures


@contextmanager
def _transfer(
    seed_options: tuple[str, ...] = (), fetcher_options: tuple[str, ...] = ()
) -> Iterator[tuple[Swarm, Host, Host]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name, Switch() as switch:
        seed, fetcher = switch.host(), switch.host()
        path = Path(name) / "source.bin"
        path.write_bytes(os.urandom(FILE_BYTES))
        options = {seed: seed_options, fetcher: fetcher_options}
        with Swarm(Path(name) / "swarm", [seed], [fetcher], (), each=options) as swarm:
            swarm.begin(path)
            time.sleep(SETTLE_SECONDS)
            yield swarm, seed, fetcher


def _limit(swarm: Swarm, node: int, *arguments: str) -> None:
    swarm.command(node, "limit", *arguments)
    time.sleep(SETTLE_SECONDS)


def _share(host: Host, way: str, cap: int) -> dict[str, Any]:
    begun, before = time.perf_counter(), host.payload_bytes(way, HEADER_BYTES)
    time.sleep(SECONDS)
    passed = host.payload_bytes(way, HEADER_BYTES) - before
    rate = passed / (time.perf_counter() - begun)
    return {"cap": cap, "rate": round(rate), "off_by": at_most(round(abs(rate / cap - 1), 4), MOST_OFF)}
