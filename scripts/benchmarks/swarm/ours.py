"""dhtshare's side: a real node on every host, a real DHT between them, `publish` and `fetch` as anybody runs them."""

from __future__ import annotations

import filecmp
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts.benchmarks.swarm.course import Course
from scripts.benchmarks.swarm.links import Host
from tests.processes import Home, Network, Node

POLL_SECONDS = 0.02


class _HostedHome(Home):
    """A home whose commands run on a host of its own."""

    def __init__(self, network: Network, folder: Path, host: Host) -> None:
        super().__init__(network, folder)
        self._host = host

    def command(self, *arguments: object, json_output: bool = True) -> list[str]:
        return [*self._host.inside, *super().command(*arguments, json_output=json_output)]


class Swarm:
    """A node on each host. `options` are all nodes' own, `each` those of the node on one host."""

    name = "dhtshare"

    def __init__(
        self,
        folder: Path,
        seeds: Sequence[Host],
        fetchers: Sequence[Host],
        options: Sequence[str],
        each: Mapping[Host, Sequence[str]] | None = None,
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self._network = Network(folder)
        self._hosts = (*seeds, *fetchers)
        self._seeds = len(seeds)
        self._options = options
        self._each = each or {}
        self._nodes: list[Node] = []

    def __enter__(self) -> Self:
        self._network.__enter__()
        for number, host in enumerate(self._hosts):
            home = _HostedHome(self._network, self._folder / f"host{number}", host)
            self._nodes.append(home.node("--host", host.ip, *self._options, *self._each.get(host, ())))
            self._network.bootstrap = self._network.bootstrap or self._nodes[0].address
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._network.__exit__(kind, error, trace)

    def fetch(self, path: Path, meanwhile: Callable[[float], None]) -> list[Course]:
        """Every fetcher at once; `meanwhile(seconds)` is called over and over until all are through."""
        for node in self._nodes[: self._seeds]:
            content = node.run("publish", path, timeout=600).result["hash"]
        fetches = [
            _Fetch(node.home, content, self._folder / f"target{number}")
            for number, node in enumerate(self._nodes[self._seeds :])
        ]
        begun = fetches[0].begun()
        while not all(fetch.over for fetch in fetches):
            time.sleep(POLL_SECONDS)
            meanwhile(time.perf_counter() - begun)
        begun = min(fetch.begun() for fetch in fetches)
        return [fetch.course(begun, path) for fetch in fetches]

    def begin(self, path: Path) -> None:
        """One fetcher begins; nobody waits for it."""
        content = self._nodes[0].run("publish", path, timeout=600).result["hash"]
        self._nodes[-1].home.start("fetch", content, "-o", self._folder / "target").wait_for_event("progress")

    def command(self, node: int, *arguments: str) -> None:
        """A command on this node."""
        self._nodes[node].run(*arguments)

    @contextmanager
    def searching(self, node: int) -> Iterator[None]:
        """This node searches over and over meanwhile: traffic in the DHT, whatever it finds."""
        over = threading.Event()

        def search() -> None:
            number = 0
            while not over.is_set():
                number += 1
                self._nodes[node].run("search", f"word{number}", "more", "words", "--timeout", "1", code=None)

        searches = [threading.Thread(target=search) for _ in range(2)]
        for thread in searches:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in searches:
                thread.join()

    def kill(self, seed: int) -> None:
        """The seed's process is gone, its host is still there."""
        self._nodes[seed].running.signal(signal.SIGKILL)

    def freeze(self, seed: int) -> None:
        """The seed's process stands still; its kernel still acknowledges."""
        self._nodes[seed].running.signal(signal.SIGSTOP)


class _Fetch(threading.Thread):
    """One `fetch`, its lines noted with the time at which they came."""

    def __init__(self, home: Home, content: str, target: Path) -> None:
        super().__init__(daemon=True)
        self._target = target
        self._lines: list[tuple[float, dict[str, Any]]] = []
        self._first = threading.Event()
        self._process = subprocess.Popen(
            home.command("fetch", content, "-o", target),
            env=home.network.environment(),
            cwd=home.cwd,
            stdout=subprocess.PIPE,
        )
        self.start()

    def run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append((time.perf_counter(), json.loads(line)))
            self._first.set()
        self._process.wait()
        self._first.set()

    @property
    def over(self) -> bool:
        return not self.is_alive()

    def begun(self) -> float:
        """When the node heard of it: a command's own start-up is not the transfer's."""
        self._first.wait()
        return self._lines[0][0]

    def course(self, begun: float, path: Path) -> Course:
        """From `begun`; its last point is what the command itself calls done: renamed, fsync included."""
        result = self._lines[-1][1]
        assert self._process.returncode == 0, result
        assert filecmp.cmp(path, self._target / path.name, shallow=False), "it fetched something else"
        course = Course()
        for at, line in self._lines:
            if line.get("event") == "progress":
                course.add(at - begun, line["done"])
        course.add(self.begun() - begun + result["seconds"], result["size"])
        return course
