"""Real dhtshare processes for end-to-end tests: homes, commands run in them, nodes, and a network of nodes.

Speaks only the contract: command lines in, JSON lines and exit codes out. Each process carries the network's name in
its environment, by which any that outlives its test is found.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parent.parent
MARK = "TEST_OF_NETWORK"
START_TIMEOUT = 30.0  # the contract says 10 s; a loaded machine gets more
STOP_TIMEOUT = 20.0
COMMAND_TIMEOUT = 60.0

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit code and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[JsonObject]:
        """stdout as JSON lines; fails where a line is anything else."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def result(self) -> JsonObject:
        """The last line: the result object, or the error where there is no result."""
        return self.lines[-1]

    @property
    def results(self) -> list[JsonObject]:
        """All lines that are not events: one a target or path."""
        return [line for line in self.lines if "event" not in line]

    @property
    def events(self) -> list[JsonObject]:
        return [line for line in self.lines if "event" in line]


class Running:
    """A started command whose output is read as it comes."""

    def __init__(self, command: list[str], environment: dict[str, str], cwd: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in finish)
        self.process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors
        )
        self.seen: list[JsonObject] = []  #: lines read so far
        self._more = threading.Condition()
        self._ended = False
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        for raw in stream:
            with self._more:
                self.seen.append(json.loads(raw))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for(self, condition: Callable[[JsonObject], bool], timeout: float = START_TIMEOUT) -> JsonObject:
        """The first line, read or to come, of which `condition` holds. Fails when output ends without one."""

        def found() -> JsonObject | None:
            return next((line for line in self.seen if condition(line)), None)

        with self._more:
            self._more.wait_for(lambda: found() is not None or self._ended, timeout)
            line = found()
        assert line is not None, f"no such line; seen {self.seen[-5:]}, stderr: {self.errors()}"
        return line

    def wait_for_event(
        self, event: str, condition: Callable[[JsonObject], bool] = lambda line: True, timeout: float = START_TIMEOUT
    ) -> JsonObject:
        """The first line of this event of which `condition` holds."""
        return self.wait_for(lambda line: line.get("event") == event and condition(line), timeout)

    def errors(self) -> str:
        """What it wrote on stderr so far."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self, timeout: float = STOP_TIMEOUT) -> Finished:
        """Waits for its end; kills it and fails when it does not come."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not end within {timeout} s: {self.process.args}\n{self.errors()}") from None
        finally:
            self._close_output(timeout)
        errors = self.errors()
        self._errors.close()
        return Finished(code, "".join(json.dumps(line) + "\n" for line in self.seen), errors)

    def _close_output(self, timeout: float) -> None:
        """Fails where something that it started still holds its output open: closing would wait for that for ever."""
        self._reader.join(timeout)
        assert not self._reader.is_alive(), f"ended, but not its output: a child goes on: {self.process.args}"
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> Finished:
        """Polite end: what Ctrl-C or a service manager does."""
        self.signal(signal.SIGTERM)
        return self.finish()

    def kill(self) -> None:
        """kill -9, if it is still there. May be called twice."""
        if self._errors.closed:
            return
        self.process.kill()
        self.finish()


class Home:
    """A home folder, and a folder beside it in which commands are run. `inside` opens each, to run it elsewhere."""

    def __init__(self, network: Network, folder: Path, inside: Sequence[str] = ()) -> None:
        self.network = network
        self.inside = inside
        self.path = folder / "home"
        self.cwd = folder / "here"
        self.cwd.mkdir(parents=True)

    def command(self, *arguments: object, json_output: bool = True) -> list[str]:
        options = ["--home", str(self.path), "--network", self.network.name, *(["--json"] if json_output else [])]
        return [*self.inside, sys.executable, "-P", "-m", "dhtshare", *options, *map(str, arguments)]

    def run(
        self, *arguments: object, code: int | None = 0, timeout: float = COMMAND_TIMEOUT, json_output: bool = True
    ) -> Finished:
        """Runs one command to its end and checks its exit code (None: any)."""
        done = subprocess.run(
            self.command(*arguments, json_output=json_output),
            env=self.network.environment(),
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        finished = Finished(done.returncode, done.stdout, done.stderr)
        assert code is None or finished.code == code, f"{arguments}: {finished}"
        return finished

    def start(self, *arguments: object) -> Running:
        """Starts a command that goes on; the network ends it if the test does not."""
        running = Running(self.command(*arguments), self.network.environment(), self.cwd)
        self.network.running.append(running)
        return running

    def node(self, *options: object) -> Node:
        """Starts this home's node on any loopback port, joined to the network's first node, and waits until ready.

        Elsewhere it listens on all addresses.
        """
        return Node(self, *options)


class Node:
    """A running `dhtshare node` and the home to talk to it through."""

    def __init__(self, home: Home, *options: object) -> None:
        self.home = home
        listen = () if home.inside else ("--host", "127.0.0.1", "--port", 0)
        self.running = home.start("node", *listen, *home.network.join(), *options)
        self.ready = self.running.wait_for_event("ready")
        self.address: str = self.ready["address"]

    def run(
        self, *arguments: object, code: int | None = 0, timeout: float = COMMAND_TIMEOUT, json_output: bool = True
    ) -> Finished:
        """Runs a command in this node's home."""
        return self.home.run(*arguments, code=code, timeout=timeout, json_output=json_output)

    def stop(self) -> Finished:
        return self.running.stop()

    def kill(self) -> None:
        self.running.kill()


class Network:
    """A network with a random name on loopback, without LAN discovery. Ends all its processes when it is left."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.name = name or f"test-{secrets.token_hex(6)}"
        self.folder = folder
        self.running: list[Running] = []
        self.bootstrap: str | None = None
        self.first_on_path: Path | None = None  #: a folder whose modules its processes see before all others
        self.lan = False  #: whether nodes may look for each other by multicast DNS
        self._homes = 0
        self.user_home = folder / "user"  #: what the processes take for the user's home folder
        self.user_home.mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:  # all of them, also where one is not to be ended
            for running in self.running:
                stack.callback(running.kill)

    def environment(self) -> dict[str, str]:
        """A child's environment: this checkout's code, nothing of the caller's dhtshare settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DHTSHARE_")}
        return inherited | {
            MARK: self.name,
            "HOME": str(self.user_home),
            "PYTHONPATH": os.pathsep.join(map(str, filter(None, (self.first_on_path, ROOT)))),
            "PYTHONWARNINGS": "default",
            "DHTSHARE_NO_LAN": "0" if self.lan else "1",
            "NO_COLOR": "1",
        }

    def join(self) -> tuple[str, ...]:
        """Options with which a command or node joins this network."""
        lan = () if self.lan else ("--no-lan",)
        return (*lan, *(("--bootstrap", self.bootstrap) if self.bootstrap else ()))

    def home(self, inside: Sequence[str] = ()) -> Home:
        """A new home, nothing in it."""
        self._homes += 1
        return Home(self, self.folder / f"h{self._homes}", inside)

    def node(self, *options: object) -> Node:
        """A new node in a new home; the first one started is everyone's bootstrap node."""
        node = self.home().node(*options)
        self.bootstrap = self.bootstrap or node.address
        return node

    def nodes(self, count: int) -> list[Node]:
        return [self.node() for _ in range(count)]


def marked(name: str) -> list[int]:
    """Process ids that carry the mark of network `name` (Linux; else none)."""
    mark = f"{MARK}={name}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def left_behind(name: str) -> list[int]:
    """Those of `marked`, killed before they are reported."""
    found = marked(name)
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return found


def eventually(condition: Callable[[], bool], timeout: float = 30.0, *, every: float = 0.1) -> bool:
    """Whether `condition`, asked again and again, held within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
