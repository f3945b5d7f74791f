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
from tests.unfinished import claimed

CHUNK = 1 << 20
FETCHED_CHUNKS = 48
SEED_RATE = "40M"  # bytes per second: a fetch lasts long enough to be killed in all its parts
FETCH_SECONDS = 3.0  # within which its kill comes, from the start of the process
RECEIVING_SECONDS = 1.2  # within which every other kill comes, from its first chunk
PUBLISH_SECONDS = 2.0
FILES_AT_ONCE = 20
PATIENCE_SECONDS = 30.0
MOST_CHUNKS_AGAIN = 8  # a kill (threats.md)
LONGEST_START_SECONDS = 5.0


def kill_fetches(network: Network, rng: random.Random, kills: int) -> dict[str, Any]:
    """Fetch the same content again and again, killed at random, until each copy is whole.

    `chunks_again` is what one kill cost at worst: what the seed had sent to that process and the next one does not find
    claimed, in chunks; what was still on its way counts.
    """
    seed = network.node("--max-upload", SEED_RATE)
    source = seed.home.cwd / "source.bin"
    source.write_bytes(rng.randbytes(FETCHED_CHUNKS * CHUNK - 12345))
    content = seed.run("publish", source).result["hash"]
    home = network.home()
    again: list[float] = []  # chunks, kill by kill
    figures = {"kills": 0, "while_receiving": 0, "copies": 0, "wrong_files": 0, "failed": 0}
    while len(again) < kills:
        target = home.cwd / f"copy{figures['copies']}"
        sent, kept = _uploaded(seed), 0
        while True:
            fetch = home.start("fetch", content, "-o", target, *network.join(), "--timeout", 30)
            if len(again) < kills and _comes_to_be_killed(fetch, rng, receiving=len(again) % 2 == 0):
                fetch.kill()
                sent_before, kept_before = sent, kept
                sent, kept = _uploaded(seed), _kept(target, source, bytes.fromhex(content))
                again.append(round(((sent - sent_before) - (kept - kept_before)) / CHUNK, 2))
                figures["while_receiving"] += sent > sent_before and not (target / source.name).exists()
                figures["wrong_files"] += _stands_wrong(target / source.name, source)
                continue
            ended = fetch.finish(60.0)
            figures["failed"] += ended.code != 0
            break
        figures["copies"] += 1
        figures["wrong_files"] += not (target / source.name).exists() or _stands_wrong(target / source.name, source)
        (target / source.name).unlink(missing_ok=True)
    return figures | {"kills": len(again), "chunks_again": max(again, default=0.0), "chunks_again_of_each": again}


def kill_publishers(network: Network, rng: random.Random, kills: int) -> dict[str, Any]:
    """Kill a node while it publishes; then its catalogue must be sound and hold all that was acknowledged."""
    network.node()
    home = network.home()
    acknowledged: set[str] = set()
    figures = {"kills": 0, "acknowledged": 0, "lost": 0, "torn_catalogues": 0}
    starts: list[tuple[float, float]] = []  # seconds, and how many of them it waited for a processor
    for number in range(kills):
        began = time.monotonic()
        node = home.node()
        starts.append((time.monotonic() - began, _queued_seconds(node.running.process.pid)))
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
    return figures | {
        "acknowledged": len(acknowledged),
        "slowest_start_s": round(max(whole for whole, _ in starts), 2),
        "slowest_start_unqueued_s": round(max(whole - queued for whole, queued in starts), 2),
    }


def _hashes(publishing: Running) -> set[str]:
    """The contents whose result line has come: these are acknowledged."""
    return {line["hash"] for line in list(publishing.seen) if "hash" in line and "event" not in line}


def _wait_for_results(publishing: Running) -> None:
    def over() -> bool:
        return publishing.process.poll() is not None or len(_hashes(publishing)) == FILES_AT_ONCE

    assert eventually(over, PATIENCE_SECONDS), f"no results within {PATIENCE_SECONDS} s: {publishing.errors()}"


def _comes_to_be_killed(fetch: Running, rng: random.Random, *, receiving: bool) -> bool:
    """Lets it live to a moment of its life, or of the time in which it receives; False where it ended before."""

    def received() -> bool:
        return any(line.get("event") == "progress" and line["done"] for line in list(fetch.seen))

    if receiving:
        assert eventually(lambda: received() or fetch.process.poll() is not None, PATIENCE_SECONDS, every=0.005)
    lives = rng.uniform(0.0, RECEIVING_SECONDS if receiving else FETCH_SECONDS)
    return not eventually(lambda: fetch.process.poll() is not None, lives, every=0.005)


def _stands_wrong(path: Path, source: Path) -> bool:
    """Whether the final name exists with other bytes than were published."""
    return path.exists() and path.read_bytes() != source.read_bytes()


def _kept(folder: Path, source: Path, content: bytes) -> int:
    """Bytes that the next process need not fetch."""
    size = source.stat().st_size
    if (folder / source.name).exists():
        return size
    have = claimed(folder, content, FETCHED_CHUNKS) or ()
    return sum(min(CHUNK, size - chunk * CHUNK) for chunk in have)


def _uploaded(seed: Node) -> int:
    """Bytes that it has sent so far, once nobody takes any more."""
    seen = -1
    while (now := int(seed.run("status").result["transfers"]["uploaded"])) != seen:
        seen = now
    return now


def _queued_seconds(process: int) -> float:
    """How long a process, its first thread, was ready to run while a processor did something else (Linux; else 0)."""
    try:
        return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


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
