"""scripts/kill-loop --signal INT: Ctrl-C at random moments of commands, as figures. A shorter run of it is a test."""

from __future__ import annotations

import os
import random
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import Finished, Home, Network, Running, eventually, marked

CHUNK = 1 << 20
FETCHED_CHUNKS = 24
SEED_RATE = "20M"  # bytes per second: a fetch lasts long enough to be interrupted in all its parts
END_SECONDS = 20.0
GONE_SECONDS = 5.0  # within which what a command started is gone, too
INTERRUPTED = (130, -signal.SIGINT)  # a shell tells both as 130
#: What Python itself says when it is interrupted while it starts or ends, before or after any line of ours runs.
COMPLAINTS = ("Traceback", "Exception ignored", "Warning", "never awaited", "was destroyed")
OUR_FRAME = "/dhtshare/"
_LOADING = re.compile("<frozen importlib.*ResourceWarning|Enable tracemalloc")  # Python, of a module half read


@dataclass(slots=True)
class Tally:
    """What came of the interruptions of one command."""

    interrupted: int = 0
    cut_off: int = 0  #: ended with 130
    ended_well: int = 0  #: ended with 0: there was nothing to cut off any more, or ending is all it waits for
    python_starting: int = 0  #: Python had not come to our first line
    slowest_s: float = 0.0  #: from the signal to the end
    wrong: list[str] = field(default_factory=list)


class Stories:
    """Commands to interrupt, in a network that stands, and what each may leave."""

    def __init__(self, network: Network, rng: random.Random) -> None:
        self.network = network
        self.rng = rng
        self.seed = network.node("--max-upload", SEED_RATE)
        self.source = self.seed.home.cwd / "walrus source.bin"
        self.source.write_bytes(rng.randbytes(FETCHED_CHUNKS * CHUNK - 12345))
        self.content = self.seed.run("publish", self.source).result["hash"]
        self.tallies = {name: Tally() for name in STORIES}
        self._standing = set(marked(network.name))

    def interrupt(self, name: str) -> None:
        """One Ctrl-C somewhere in a command, and a look at what is left."""
        STORIES[name](self)

    # ---- the commands ----------------------------------------------------------------------------

    def fetch(self) -> None:
        """Into a new folder; then once more, to its end."""
        home = self.network.home()
        out = home.cwd / "out"
        command = ("fetch", self.content, "-o", out, *self.network.join(), "--timeout", 20)
        ended = self._interrupted("fetch", home, command, most=3.0)
        target = out / self.source.name
        if ended.code != 0 and target.exists() and target.read_bytes() != self.source.read_bytes():
            self._wrong("fetch", "the final name stands for other bytes")
        again = home.run(*command, code=None)
        if again.code != 0 or target.read_bytes() != self.source.read_bytes():
            self._wrong("fetch", f"the rerun ended with {again.code}: {again.stderr[-300:]}")
        elif [path.name for path in out.iterdir()] != [target.name]:
            self._wrong("fetch", f"left {[path.name for path in out.iterdir()]}")

    def publish(self) -> None:
        """By a process of its own, which shares until Ctrl-C."""
        home = self.network.home()
        folder = home.cwd / "walrus folder"
        folder.mkdir()
        for number in range(20):
            (folder / f"{number}.bin").write_bytes(self.rng.randbytes(3000))
        self._interrupted("publish", home, ("publish", folder, "--each", *self._here()), most=4.0)
        listed = home.run("list", code=None)
        if listed.code != 0:
            self._wrong("publish", f"list ended with {listed.code}: {listed.stderr[-300:]}")

    def search(self) -> None:
        self._interrupted("search", self.network.home(), ("search", "walrus", *self.network.join()), most=1.5)

    def node(self) -> None:
        """While it starts, mostly."""
        home = self.network.home()
        self._interrupted("node", home, ("node", *self._here()), most=1.5)
        home.node().stop()

    def demo(self) -> None:
        """Its nodes and its folder go with it."""
        home = self.network.home()
        place = home.cwd / "tmp"
        place.mkdir()
        with _environment("TMPDIR", str(place)):
            self._interrupted("demo", home, ("demo", "--size", "4M", "--seeds", "3"), most=8.0)
        left = [path.name for path in place.iterdir()]
        if left:
            self._wrong("demo", f"left {left}")

    # ---- inside ----------------------------------------------------------------------------------

    def _here(self) -> tuple[object, ...]:
        return ("--host", "127.0.0.1", "--port", 0, *self.network.join())

    def _interrupted(self, name: str, home: Home, command: tuple[object, ...], *, most: float) -> Finished:
        tally = self.tallies[name]
        running = home.start(*command)
        time.sleep(self.rng.uniform(0.0, most))
        at = time.monotonic()
        running.signal(signal.SIGINT)
        try:
            ended = running.finish(END_SECONDS)
        except AssertionError as error:
            self._wrong(name, str(error)[-600:])
            return Finished(-signal.SIGKILL, "", "")
        tally.interrupted += 1
        tally.slowest_s = max(tally.slowest_s, round(time.monotonic() - at, 2))
        self._judge(name, ended)
        if not eventually(lambda: set(marked(self.network.name)) <= self._standing, GONE_SECONDS):
            self._wrong(name, "processes are left")
        self._look_for_temporary_files(name, running, home)
        return ended

    def _judge(self, name: str, ended: Finished) -> None:
        tally = self.tallies[name]
        tally.cut_off += ended.code in INTERRUPTED
        tally.ended_well += ended.code == 0
        said = "\n".join(line for line in ended.stderr.splitlines() if not _LOADING.search(line))
        complains = any(complaint in said for complaint in COMPLAINTS)
        if complains and OUR_FRAME not in said:
            tally.python_starting += 1
        elif complains or ended.code not in (*INTERRUPTED, 0):
            self._wrong(name, f"ended with {ended.code}: {ended.stdout[-300:]} {said[-1200:]}")
        elif ended.code == 130 and ended.stdout and "event" in ended.result:
            self._wrong(name, f"neither a result nor an error comes last: {ended.stdout[-300:]}")

    def _look_for_temporary_files(self, name: str, running: Running, home: Home) -> None:
        left = [path.name for path in home.path.glob(f".*{running.process.pid}*")] if home.path.exists() else []
        if left or (home.path / "control.sock").exists():
            self._wrong(name, f"left in the home: {left or 'control.sock'}")

    def _wrong(self, name: str, what: str) -> None:
        self.tallies[name].wrong.append(what)


STORIES = {
    "fetch": Stories.fetch,
    "publish": Stories.publish,
    "search": Stories.search,
    "node": Stories.node,
    "demo": Stories.demo,
}


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Within, children see this variable."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def interrupt_loop(times: int, seed: int) -> dict[str, Any]:
    """So many interruptions, of each command in turn; `ok` is False where anything was not as it has to be."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        stories = Stories(network, rng)
        names = list(STORIES)
        for number in range(times):
            stories.interrupt(names[number % len(names)])
    report = {name: asdict(tally) for name, tally in stories.tallies.items()}
    ok = not any(tally.wrong for tally in stories.tallies.values())
    return {"interruptions": times, "seed": seed, **report, "ok": ok}
