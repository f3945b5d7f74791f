"""The nodes of a demo: `dhtshare` processes with temporary homes on loopback, and the commands asked of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dhtshare
from dhtshare.cli.demo.interrupts import Interrupts
from dhtshare.errors import DhtshareError, NetworkError, from_code

READY_SECONDS = 30.0  # a node is ready within 10 s; several start at once on a small machine
STOP_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.02
MOST_COMPLAINT_BYTES = 2000

JsonObject = dict[str, Any]


class DemoNode:
    """One node process, its home, and what it said when it was ready."""

    def __init__(self, name: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.home = folder / "home"
        self.process = process
        self.address = ""
        self._said = folder / "stdout"
        self._complained = folder / "stderr"

    def wait_until_ready(self) -> None:
        """Until its first line stands. Raises DhtshareError when it ends, or says nothing for too long."""
        deadline = time.monotonic() + READY_SECONDS
        while "address" not in (line := self._first_line()):
            if self.process.poll() is not None:
                raise _failure(f"node {self.name}", self.process.returncode, self._first_line(), self._complained)
            if time.monotonic() > deadline:
                raise NetworkError(f"Node {self.name} was not ready within {READY_SECONDS:.0f} s.")
            time.sleep(LOOK_AGAIN_SECONDS)
        self.address = line["address"]

    def _first_line(self) -> JsonObject:
        first, end, _ = self._said.read_bytes().partition(b"\n")
        return json.loads(first) if end else {}


class DemoNetwork:
    """The processes of a demo. Whoever makes one calls `stop`, whatever happens."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.nodes: list[DemoNode] = []
        self.interrupts = Interrupts(self.kill)
        self.lock = -1  #: says that the folder is in use, as long as anybody has it open
        self._processes: list[subprocess.Popen[bytes]] = []

    def start_node(self, name: str, bootstrap: str | None = None) -> DemoNode:
        """Starts a node and does not wait for it."""
        folder = self.folder / name
        folder.mkdir()
        options = ["--host", "127.0.0.1", "--port", "0", "--no-lan", *(["--bootstrap", bootstrap] if bootstrap else [])]
        with (folder / "stdout").open("wb") as said:
            # A pipe that ends with us: nodes go, too, where the demo is killed and stops nobody.
            command = self._command(folder / "home", "--quiet", "node", "--until-eof", *options)
            process = self._spawn(command, folder, stdin=subprocess.PIPE, stdout=said.fileno())
            node = DemoNode(name, folder, process)
        self.nodes.append(node)
        return node

    def ask(self, node: DemoNode, *arguments: str, on_event: Callable[[JsonObject], None] | None = None) -> Asked:
        """Starts a command in this node's home; `Asked.results` waits for it."""
        command = self._command(node.home, *arguments)
        folder = self.folder / node.name
        return Asked(arguments[0], self._spawn(command, folder, stdout=subprocess.PIPE), folder / "stderr", on_event)

    def stop(self) -> None:
        """Stops every process politely, and those that do not obey at once."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        self.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def kill(self) -> None:
        """Ends every process at once."""
        for process in self._processes:
            process.kill()

    def _command(self, home: Path, *arguments: str) -> list[str]:
        program = [sys.executable, "-P", "-m", "dhtshare"]
        return [*program, "--json", "--home", str(home), "--network", self.name, *arguments]

    def _spawn(
        self, command: list[str], folder: Path, *, stdout: int, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        with self.interrupts.held(), (folder / "stderr").open("ab") as complaints:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(),
                stdin=stdin,
                stdout=stdout,
                stderr=complaints,
                pass_fds=() if self.lock < 0 else (self.lock,),
                start_new_session=True,  # the terminal's Ctrl-C is for the demo, which then stops them in order
            )
            self._processes.append(process)
        return process


class Asked:
    """A command under way."""

    def __init__(
        self,
        verb: str,
        process: subprocess.Popen[bytes],
        complaints: Path,
        on_event: Callable[[JsonObject], None] | None,
    ) -> None:
        self._verb = verb
        self._process = process
        self._complaints = complaints
        self._on_event = on_event

    def results(self) -> list[JsonObject]:
        """Its result objects, once it ended. Raises the error that it ended with."""
        results = []
        for line in self._lines():
            if "event" not in line:
                results.append(line)
            elif self._on_event is not None:
                self._on_event(line)
        code = self._process.wait()
        if code != 0:
            raise _failure(self._verb, code, results[-1] if results else {}, self._complaints)
        return results

    def result(self) -> JsonObject:
        """The last of its results."""
        return self.results()[-1]

    def _lines(self) -> Iterator[JsonObject]:
        assert self._process.stdout is not None, "asked with a pipe"
        for raw in self._process.stdout:
            yield json.loads(raw)


def _failure(what: str, code: int, last: JsonObject, complaints: Path) -> DhtshareError:
    """The error of a process that failed, in its own words where it had any."""
    message = last.get("error", {}).get("message")
    if not message:
        tail = complaints.read_bytes()[-MOST_COMPLAINT_BYTES:].decode(errors="replace").strip()
        message = tail or f"it ended with code {code} and said nothing"
    return from_code(code, f"The demo failed at {what}: {message}")


def _environment() -> dict[str, str]:
    """The caller's environment without its dhtshare settings: a demo must not join the caller's node.

    A checkout that is not installed is put on the path of the children.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DHTSHARE_")}
    package = str(Path(dhtshare.__file__).parent.parent)
    if package not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [package, kept.get("PYTHONPATH")]))
    return kept
