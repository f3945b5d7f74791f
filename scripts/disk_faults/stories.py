"""The stories in which each single disk fault is met, and what must be true after it."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.disk_faults.injection import Fault, faults_of, happened_at, injecting, tracing, wait_for_the_end
from tests.processes import Finished, Home, Network, Node, Running

CHUNK = 1 << 20
MOST_CHUNKS_AGAIN = 2  # threats.md
MOST_SECONDS = 5.0  # threats.md: from the fault to the end
END_SECONDS = 60.0


@dataclass(slots=True)
class Outcome:
    """What came of one fault. `wrong` is empty where all is as it has to be."""

    happened: bool = False
    failed: bool = False  #: the command that met it said so by its exit code; else it got by
    seconds: float = 0.0  #: from the fault to the end of a command that failed
    chunks_again: int = 0  #: that stood right on the disk, and were fetched once more
    chunks_in_flight: int = 0  #: that were sent and never came to be written
    wrong: list[str] = field(default_factory=list)


class FetchStory:
    """A fetch by a process of its own, in a new home, from a seed into a folder; then the same again."""

    name = "fetch"

    def __init__(self, network: Network, rng: random.Random) -> None:
        self.network = network
        self.seed = network.node()
        self.source = self._make(self.seed.home.cwd, rng)
        self.published = _contents(self.source)
        self.chunks = sum(-(-len(data) // CHUNK) for data in self.published.values())
        self.content = self.seed.run("publish", self.source).result["hash"]

    def _make(self, folder: Path, rng: random.Random) -> Path:
        """What is published."""
        path = folder / "source.bin"
        path.write_bytes(rng.randbytes(6 * CHUNK - 999))
        return path

    def faults(self) -> list[Fault]:
        """All that a sound fetch could meet."""
        with _new_home(self.network) as home:
            log = home.cwd / "trace"
            running = self._start(home, tracing(log))
            ended = running.finish(END_SECONDS)
            assert ended.code == 0, ended
            wait_for_the_end(log, running.process.pid)
            return faults_of(log, home.cwd.parent, running.process.pid)

    def suffer(self, fault: Fault) -> Outcome:
        with _new_home(self.network) as home:
            log, target = home.cwd / "trace", home.cwd / "out" / self.source.name
            sent = _uploaded(self.seed)
            running = self._start(home, injecting(fault, home.cwd.parent, log))
            ended = running.finish(END_SECONDS)
            over = time.time()
            wait_for_the_end(log, running.process.pid)
            at = happened_at(log)
            outcome = Outcome(happened=at is not None, failed=ended.code != 0)
            if at is None:
                return outcome
            right = self._is_right(target)
            if outcome.failed:
                outcome.seconds = round(over - at, 2)
                outcome.wrong += _words(ended)
            elif not right:
                outcome.wrong.append("claimed to be complete")
            if target.exists() and not right:
                outcome.wrong.append("the final name stands for other bytes")
            kept = self._chunks_kept(target)
            again = self._start(home).finish(END_SECONDS)
            if again.code != 0 or not self._is_right(target):
                outcome.wrong.append(f"the rerun ended with {again.code}: {again.stderr[-300:]}")
                return outcome
            fetched = sum(source["chunks"] for source in again.result["sources"])
            outcome.chunks_again = fetched - (self.chunks - kept)
            twice = _uploaded(self.seed) - sent - sum(map(len, self.published.values()))
            outcome.chunks_in_flight = max(0, round(twice / CHUNK) - outcome.chunks_again)
            if outcome.chunks_again > MOST_CHUNKS_AGAIN:
                outcome.wrong.append(f"{outcome.chunks_again} chunks were fetched again")
            return outcome

    def _is_right(self, target: Path) -> bool:
        return target.exists() and _contents(target) == self.published

    def _chunks_kept(self, target: Path) -> int:
        """How many chunks stand right, under the final name or before it."""
        part = target.with_name(f".{target.name}.dhtshare-part")
        kept = _contents(target if target.exists() else part)
        return sum(
            kept.get(name, b"")[at : at + CHUNK] == data[at : at + CHUNK]
            for name, data in self.published.items()
            for at in range(0, len(data), CHUNK)
        )

    def _start(self, home: Home, inside: tuple[str, ...] = ()) -> Running:
        home.inside = inside
        try:
            out = home.cwd / "out"
            return home.start(
                "fetch", self.content, "-o", out, "--peer", self.seed.address, "--no-lan", "--timeout", 10
            )
        finally:
            home.inside = ()


class CollectionStory(FetchStory):
    """The same of a folder: files of one chunk, one of several, an empty one and an empty folder."""

    name = "collection"

    def _make(self, folder: Path, rng: random.Random) -> Path:
        album = folder / "album"
        (album / "nothing").mkdir(parents=True)
        (album / "empty.bin").touch()
        for number in range(4):
            (album / f"small{number}.bin").write_bytes(rng.randbytes(3000))
        (album / "deep").mkdir()
        (album / "deep" / "large.bin").write_bytes(rng.randbytes(4 * CHUNK - 999))
        return album


class NodeStory:
    """A node that starts with a library, publishes, fetches and ends, all under the fault; then a sound start."""

    name = "node"

    def __init__(self, network: Network, rng: random.Random) -> None:
        self.network = network
        self.seed = network.node()
        folder = self.seed.home.cwd
        self.kept, self.new, self.wanted = (folder / f"{name}.bin" for name in ("kept", "new", "wanted"))
        for path in (self.kept, self.new, self.wanted):
            path.write_bytes(rng.randbytes(CHUNK + 50_000))
        self.content = self.seed.run("publish", self.wanted).result["hash"]
        self.before = network.home()  # a home as the faults find it, its node stopped
        node = self.before.node()
        self.acknowledged = node.run("publish", self.kept, "--no-wait").result["hash"]
        node.stop()

    def faults(self) -> list[Fault]:
        """All that a sound life could meet."""
        with self._home() as home:
            log = home.cwd / "trace"
            running = self._start(home, tracing(log))
            running.wait_for_event("ready")
            home.run("publish", self.new, "--no-wait")
            home.run(*self._fetch(home))
            home.run("stop")
            assert running.finish().code == 0
            wait_for_the_end(log, running.process.pid)
            return faults_of(log, home.cwd.parent, running.process.pid)

    def suffer(self, fault: Fault) -> Outcome:
        with self._home() as home:
            log = home.cwd / "trace"
            outcome = Outcome()
            running = self._start(home, injecting(fault, home.cwd.parent, log))
            acknowledged = {self.acknowledged} | self._live(home, running, log, outcome)
            wait_for_the_end(log, running.process.pid)
            outcome.happened = happened_at(log) is not None
            if not outcome.happened:
                return outcome
            if not _is_sound(home.path):
                outcome.wrong.append("the catalogue is torn")
            node = home.node()
            lost = acknowledged - {item["hash"] for item in node.run("list").result["items"]}
            if lost:
                outcome.wrong.append(f"lost {len(lost)} of {len(acknowledged)} that were acknowledged")
            for again in (("publish", self.new, "--no-wait"), self._fetch(home)):
                ended = node.run(*again, code=None)
                if ended.code != 0:
                    outcome.wrong.append(f"{again[0]} once more ended with {ended.code}: {ended.stderr[-300:]}")
            outcome.wrong += self._arrived(home)
            node.stop()
            return outcome

    def _live(self, home: Home, running: Running, log: Path, outcome: Outcome) -> set[str]:
        """Asks the node for what can be asked, until it ends; the contents whose storing it acknowledged."""
        stored: set[str] = set()
        if _is_ready(running):
            for command in (("publish", self.new, "--no-wait"), self._fetch(home)):
                began = time.time()
                ended = home.run(*command, code=None)
                if ended.code == 0:
                    stored.add(ended.result["hash"])
                    outcome.wrong += self._arrived(home) if command[0] == "fetch" else []
                else:
                    outcome.failed = True
                    outcome.seconds = max(outcome.seconds, round(time.time() - max(began, happened_at(log) or 0), 2))
                    outcome.wrong += _words(ended)
            home.run("stop", code=None)
        ended = running.finish(END_SECONDS)
        if ended.code != 0:
            outcome.failed = True
            outcome.wrong += _words(ended)
        return stored

    def _arrived(self, home: Home) -> list[str]:
        """What is wrong with a fetched file whose fetch ended well."""
        target = home.cwd / "out" / self.wanted.name
        right = target.exists() and target.read_bytes() == self.wanted.read_bytes()
        return [] if right else ["claimed to be complete"]

    def _fetch(self, home: Home) -> tuple[object, ...]:
        return ("fetch", self.content, "-o", home.cwd / "out", "--timeout", 10)

    @contextmanager
    def _home(self) -> Iterator[Home]:
        """As `before`, for one life."""
        with _new_home(self.network) as home:
            shutil.copytree(self.before.path, home.path)
            yield home

    def _start(self, home: Home, inside: tuple[str, ...]) -> Running:
        home.inside = inside
        try:
            return home.start("node", "--host", "127.0.0.1", "--port", 0, *self.network.join())
        finally:
            home.inside = ()


STORIES = {story.name: story for story in (FetchStory, CollectionStory, NodeStory)}


def _contents(path: Path) -> dict[str, bytes]:
    """The files of a folder by relative path, folders as empty ones; a file stands under ''; nothing for nothing."""
    if path.is_file():
        return {"": path.read_bytes()}
    entries = sorted(path.rglob("*")) if path.exists() else []
    return {str(one.relative_to(path)): one.read_bytes() if one.is_file() else b"" for one in entries}


@contextmanager
def _new_home(network: Network) -> Iterator[Home]:
    """Gone afterwards, whatever happened: hundreds are made."""
    home = network.home()
    try:
        yield home
    finally:
        shutil.rmtree(home.cwd.parent, ignore_errors=True)


def _is_ready(running: Running) -> bool:
    """Whether a node came up; False where it ended instead."""
    line = running.wait_for(lambda line: line.get("event") == "ready" or "error" in line)
    return "error" not in line


def _words(ended: Finished) -> list[str]:
    """What is wrong with how a failure was told: it is one sentence with its code."""
    if "Traceback" in ended.stderr or not ended.lines or "error" not in ended.result:
        return [f"no sentence: {ended.code} {ended.stdout[-200:]} {ended.stderr[-400:]}"]
    message = ended.result["error"]["message"]
    return [f"no fault of the user's disk: {message}"] if re.search(r"bug|internal", message) else []


def _is_sound(home: Path) -> bool:
    if not (home / "catalogue.db").exists():
        return True
    with closing(sqlite3.connect(home / "catalogue.db")) as database:
        return database.execute("pragma quick_check").fetchall() == [("ok",)]


def _uploaded(node: Node) -> int:
    return int(node.run("status").result["transfers"]["uploaded"])
