"""scripts/disk-faults: every single write, fsync and rename of a fetch and of a publish fails once, injected by strace.

What fails is a system call of the real process on one of its own files: the parts and names of the fetch, the
catalogue and its log, the journal, the identity. A shorter run of it is a test.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import Finished, Home, Network, Node

CHUNK = 1 << 20
CHUNKS = 6
MOST_CHUNKS_AGAIN = 2  # threats.md
MOST_SECONDS = 5.0  # threats.md: from the fault to the end
MOST_FAULTS_A_CALL = 40  # more calls of one kind are sampled
ERRORS = ("EIO", "ENOSPC")
#: strace counts the calls of each thread for itself: with n the n-th of any thread that comes to it fails.
CALLS = ("pwrite64", "fsync", "fdatasync", "rename", "renameat", "link", "linkat", "ftruncate", "write")
_INJECTED = "(INJECTED)"


@dataclass(slots=True)
class Tally:
    """What came of the faults of one story."""

    faults: int = 0
    failed: int = 0
    survived: int = 0
    slowest_s: float = 0.0
    chunks_again: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fault:
    """The n-th of one system call of a thread fails with an error, once."""

    call: str
    error: str
    number: int

    def wrap(self, log: Path, paths: list[Path]) -> tuple[str, ...]:
        """The command line of strace; `paths` are the files whose calls count, all where there are none."""
        only = [part for path in paths for part in ("-P", str(path))]
        inject = f"inject={self.call}:error={self.error}:when={self.number}"
        return ("strace", "-f", "-ttt", "-qq", "-o", str(log), "-e", f"trace={self.call}", "-e", inject, *only, "--")


class FetchStory:
    """A fetch of its own process from a seed, into a folder, with the home that it keeps."""

    def __init__(self, network: Network, rng: random.Random) -> None:
        self.network = network
        self.seed = network.node()
        self.source = self.seed.home.cwd / "source.bin"
        self.source.write_bytes(rng.randbytes(CHUNKS * CHUNK - 999))
        self.content = self.seed.run("publish", self.source).result["hash"]
        self.tally = Tally()

    def files(self, home: Home, out: Path) -> list[Path]:
        """What this story writes."""
        return [
            *_home_files(home),
            out,
            out / "source.bin",
            out / f".{self.source.name}.dhtshare-part",
            out / f".{self.source.name}.have..dhtshare-part",
        ]

    def arguments(self, out: Path) -> tuple[object, ...]:
        return ("fetch", self.content, "-o", out, "--peer", self.seed.address, "--no-lan", "--timeout", 10)

    def suffer(self, fault: Fault) -> bool:
        """One fetch with the fault, and its rerun. False where the fault did not happen."""
        home = self.network.home()
        out = home.cwd / "out"
        out.mkdir()
        target = out / self.source.name
        log = home.cwd / "trace"
        sent = _uploaded(self.seed)
        home.inside = fault.wrap(log, self.files(home, out))
        ended = home.run(*self.arguments(out), code=None)
        over = time.time()
        home.inside = ()
        happened = _happened_at(log)
        if happened is None:
            return False
        tally, name = self.tally, f"{fault.call} {fault.number} {fault.error}"
        tally.faults += 1
        if ended.code != 0:
            tally.slowest_s = max(tally.slowest_s, round(over - happened, 2))
        right = target.exists() and target.read_bytes() == self.source.read_bytes()
        if ended.code == 0:
            tally.survived += 1
            if not right:
                tally.wrong.append(f"{name}: claimed to be complete")
        else:
            tally.failed += 1
            _check_words(ended, name, tally)
        if target.exists() and not right:
            tally.wrong.append(f"{name}: the final name stands for other bytes")
        again = home.run(*self.arguments(out), code=None)
        if again.code != 0 or target.read_bytes() != self.source.read_bytes():
            tally.wrong.append(f"{name}: the rerun ended with {again.code}: {again.stderr[-300:]}")
        elif ended.code != 0:
            twice = _uploaded(self.seed) - sent - self.source.stat().st_size
            twice_chunks = max(0, round(twice / CHUNK))  # what is sent beside the content is far less than one
            tally.chunks_again = max(tally.chunks_again, twice_chunks)
            if twice_chunks > MOST_CHUNKS_AGAIN:
                tally.wrong.append(f"{name}: {twice_chunks} chunks were fetched again")
        shutil.rmtree(home.cwd.parent, ignore_errors=True)
        return True


class PublishStory:
    """A publish through a node of its own that holds something already; the node itself meets the fault."""

    def __init__(self, network: Network, rng: random.Random) -> None:
        self.network = network
        self.rng = rng
        self.first = network.node()
        self.tally = Tally()

    def suffer(self, fault: Fault) -> bool:
        """A node that starts, publishes and ends under the fault; then a sound start."""
        home = self.network.home()
        files = [home.cwd / f"{name}.bin" for name in ("kept", "new")]
        for path in files:
            path.write_bytes(self.rng.randbytes(50_000))
        sound = home.node()
        kept = sound.run("publish", files[0], "--no-wait").result["hash"]
        sound.stop()
        log = home.cwd / "trace"
        options = ("--host", "127.0.0.1", "--port", 0, *self.network.join())
        home.inside = fault.wrap(log, _home_files(home))
        running = home.start("node", *options)
        home.inside = ()
        acknowledged = {kept}
        tally, name = self.tally, f"{fault.call} {fault.number} {fault.error}"
        try:
            running.wait_for_event("ready", timeout=20.0)
            published = home.run("publish", files[1], "--no-wait", code=None)
            over = time.time()
            happened = _happened_at(log)
            if published.code != 0 and happened is not None:
                tally.slowest_s = max(tally.slowest_s, round(over - happened, 2))
            if published.code == 0:
                acknowledged.add(published.result["hash"])
            else:
                _check_words(published, name, tally)
            home.run("stop", code=None)
        except AssertionError:
            pass  # it did not start: it says so below
        ended = running.finish(30.0)
        if _happened_at(log) is None:
            return False
        tally.faults += 1
        if ended.code == 0:
            tally.survived += 1
        else:
            tally.failed += 1
            _check_words(ended, name, tally)
        if not _is_sound(home.path):
            tally.wrong.append(f"{name}: the catalogue is torn")
        again = home.node()
        lost = acknowledged - {item["hash"] for item in again.run("list").result["items"]}
        if lost:
            tally.wrong.append(f"{name}: lost {len(lost)} acknowledged")
        again.stop()
        shutil.rmtree(home.cwd.parent, ignore_errors=True)
        return True


def _home_files(home: Home) -> list[Path]:
    names = ("catalogue.db", "catalogue.db-wal", "catalogue.db-shm", "shared.jsonl", "identity", "lock", "dht.state")
    return [home.path, *(home.path / name for name in names)]


def _happened_at(log: Path) -> float | None:
    """Unix seconds of the fault; None where that call did not come."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    times = [float(line.split()[1]) for line in lines if _INJECTED in line]
    return min(times, default=None)


def _check_words(ended: Finished, name: str, tally: Tally) -> None:
    """A failure is one sentence with its code."""
    if "Traceback" in ended.stderr or "error" not in (ended.lines or [{}])[-1]:
        tally.wrong.append(f"{name}: no sentence: {ended.code} {ended.stdout[-200:]} {ended.stderr[-400:]}")
    elif re.search(r"bug|internal", ended.result["error"]["message"]):
        tally.wrong.append(f"{name}: {ended.result['error']['message']}")


def _is_sound(home: Path) -> bool:
    if not (home / "catalogue.db").exists():
        return True
    with closing(sqlite3.connect(home / "catalogue.db")) as database:
        return database.execute("pragma quick_check").fetchall() == [("ok",)]


def _uploaded(node: Node) -> int:
    return int(node.run("status").result["transfers"]["uploaded"])


def disk_faults(seed: int, most: int, calls: tuple[str, ...] = CALLS) -> dict[str, Any]:
    """The report; `ok` is False where anything was not as it has to be."""
    rng = random.Random(seed)
    report: dict[str, Any] = {"seed": seed}
    for name, story_of in (("fetch", FetchStory), ("publish", PublishStory)):
        with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
            story = story_of(network, rng)
            for call in calls:
                _exhaust(story, call, rng, most)
            report[name] = dataclasses.asdict(story.tally)
    report["ok"] = all(_is_well(report[name]) for name in ("fetch", "publish"))
    return report


def _exhaust(story: FetchStory | PublishStory, call: str, rng: random.Random, most: int) -> None:
    """The first, second, third … of this call fails, until there is none so late."""
    for number in range(1, most + 1):
        if not story.suffer(Fault(call, rng.choice(ERRORS), number)):
            return


def _is_well(figures: dict[str, Any]) -> bool:
    return (
        not figures["wrong"] and figures["slowest_s"] <= MOST_SECONDS and figures["chunks_again"] <= MOST_CHUNKS_AGAIN
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/disk-faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=MOST_FAULTS_A_CALL, help="faults of each call")
    parser.add_argument("calls", nargs="*", default=CALLS, metavar="CALL")
    chosen = parser.parse_args()
    if shutil.which("strace") is None:
        parser.error("strace is not installed")
    report = disk_faults(chosen.seed, chosen.most, tuple(chosen.calls))
    print(json.dumps(report))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
