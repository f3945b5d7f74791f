"""scripts/kill-loop: what `kill -9` leaves, as figures. A shorter run of it is a test."""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from scripts.interrupting import interrupt_loop
from tests.processes import Network, Node, Running, eventually

CHUNK = 1 << 20
FETCHED_CHUNKS = 48
SEED_RATE = "40M"  # bytes per second: a fetch lasts long enough to be killed in all its parts
FETCH_SECONDS = 3.0  # within which its kill comes, from the start of the process
PUBLISH_SECONDS = 2.0
FILES_AT_ONCE = 20
PATIENCE_SECONDS = 30.0
MOST_CHUNKS_AGAIN = 8  # a kill (threats.md)
LONGEST_START_SECONDS = 5.0


def kill_fetches(network: Network, rng: random.Random, kills: int) -> dict[str, Any]:
    """Fetch the same content again and again, killed at random, until each copy is whole."""
    seed = network.node("--max-upload", SEED_RATE)
    source = seed.home.cwd / "source.bin"
    source.write_bytes(rng.randbytes(FETCHED_CHUNKS * CHUNK - 12345))
    content = seed.run("publish", source).result["hash"]
    home = network.home()
    figures = {"kills": 0, "copies": 0, "wrong_files": 0, "failed": 0, "chunks_again": 0.0}
    while figures["kills"] < kills:
        target = home.cwd / f"copy{figures['copies']}"
        killed_here = 0
        before = _uploaded(seed)
        while True:
            fetch = home.start("fetch", content, "-o", target, *network.join(), "--timeout", 30)
            if figures["kills"] < kills and _dies(fetch.process, rng.uniform(0.0, FETCH_SECONDS)):
                fetch.kill()
                killed_here += 1
                figures["kills"] += 1
                figures["wrong_files"] += _stands_wrong(target / source.name, source)
                continue
            ended = fetch.finish(60.0)
            figures["failed"] += ended.code != 0
            break
        figures["copies"] += 1
        figures["wrong_files"] += not (target / source.name).exists() or _stands_wrong(target / source.name, source)
        if killed_here:
            again = (_uploaded(seed) - before - source.stat().st_size) / CHUNK / killed_here
            figures["chunks_again"] = max(figures["chunks_again"], round(again, 2))
        (target / source.name).unlink(missing_ok=True)
    return figures


def kill_publishers(network: Network, rng: random.Random, kills: int) -> dict[str, Any]:
    """Kill a node while it publishes; then its catalogue must be sound and hold all that was acknowledged."""
    network.node()
    home = network.home()
    acknowledged: set[str] = set()
    figures = {"kills": 0, "acknowledged": 0, "lost": 0, "torn_catalogues": 0, "slowest_start_s": 0.0}
    for number in range(kills):
        began = time.monotonic()
        node = home.node()
        figures["slowest_start_s"] = max(figures["slowest_start_s"], round(time.monotonic() - began, 2))
        listed = {item["hash"] for item in home.run("list").result["items"]}
        figures["lost"] += len(acknowledged - listed)
        folder = home.cwd / f"batch{number}"
        folder.mkdir()
        for name in range(FILES_AT_ONCE):
            (folder / f"file {name}.bin").write_bytes(rng.randbytes(3000))
        threading.Timer(rng.uniform(0.0, PUBLISH_SECONDS), node.running.process.kill).start()
        publishing = home.start("publish", *sorted(folder.iterdir()), "--no-wait", *network.join())
        _wait_for_results(publishing)
        publishing.kill()  # where it found no node any more it is one itself
        node.kill()
        figures["kills"] += 1
        acknowledged |= _hashes(publishing)
        figures["torn_catalogues"] += not _is_sound(home.path)
    figures["acknowledged"] = len(acknowledged)
    return figures


def _hashes(publishing: Running) -> set[str]:
    """The contents whose result line has come: these are acknowledged."""
    return {line["hash"] for line in list(publishing.seen) if "hash" in line and "event" not in line}


def _wait_for_results(publishing: Running) -> None:
    def over() -> bool:
        return publishing.process.poll() is not None or len(_hashes(publishing)) == FILES_AT_ONCE

    assert eventually(over, PATIENCE_SECONDS), f"no results within {PATIENCE_SECONDS} s: {publishing.errors()}"


def _dies(process: Any, seconds: float) -> bool:
    """Let it live so long; whether it is still there to be killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    return process.poll() is None


def _stands_wrong(path: Path, source: Path) -> bool:
    """Whether the final name exists with other bytes than were published."""
    return path.exists() and path.read_bytes() != source.read_bytes()


def _uploaded(node: Node) -> int:
    return int(node.run("status").result["transfers"]["uploaded"])


def _is_sound(home: Path) -> bool:
    with closing(sqlite3.connect(home / "catalogue.db")) as database:
        return database.execute("pragma integrity_check").fetchall() == [("ok",)]


def kill_loop(kills: int, seed: int) -> dict[str, Any]:
    """Half of the kills for each; `ok` is False where anything is beyond what it may be."""
    rng = random.Random(seed)
    report: dict[str, Any] = {"kills": kills, "seed": seed}
    for name, story in (("fetch", kill_fetches), ("publish", kill_publishers)):
        with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
            report[name] = story(network, rng, kills // 2)
    fetch, publish = report["fetch"], report["publish"]
    report["ok"] = (
        not any((fetch["wrong_files"], fetch["failed"], publish["lost"], publish["torn_catalogues"]))
        and fetch["chunks_again"] <= MOST_CHUNKS_AGAIN
        and publish["slowest_start_s"] <= LONGEST_START_SECONDS
    )
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/kill-loop", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--signal", choices=("KILL", "INT"), default="KILL")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    loop = kill_loop if chosen.signal == "KILL" else interrupt_loop
    report = loop(chosen.kills, chosen.seed)
    print(json.dumps(report))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
