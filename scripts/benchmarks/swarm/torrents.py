"""libtorrent's side: a session on every host, TCP alone, who knows whom said beforehand.

    python -m scripts.benchmarks.swarm.torrents IP PATH FOLDER seed|fetch [PEER…]

runs one session: it makes PATH's torrent, seeds it or fetches it into FOLDER from the peers, and prints
`{"seconds", "done"}` lines as it goes. Starts at the first line on stdin, ends with the end of stdin.
"""

from __future__ import annotations

import filecmp
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from scripts.benchmarks.swarm.course import Course
from scripts.benchmarks.swarm.links import Host

PORT = 6881
PIECE_BYTES = 1 << 20
SETTINGS: dict[str, Any] = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "smooth_connects": False,
    "connection_speed": 200,
    "torrent_connect_boost": 100,
    "max_out_request_queue": 2000,
    "mixed_mode_algorithm": 0,
    "alert_mask": 0,
}
"""Its own defaults otherwise, which did best where fetchers feed each other."""


class Swarm:
    """A session on each host."""

    name = "libtorrent"

    def __init__(self, folder: Path, seeds: Sequence[Host], fetchers: Sequence[Host]) -> None:
        folder.mkdir()
        self._folder = folder
        self._seeds, self._fetchers = seeds, fetchers
        self._sessions: list[_Session] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions:
            session.end()

    def fetch(self, path: Path, meanwhile: Callable[[float], None]) -> list[Course]:
        """Every fetcher at once, told of all others; `meanwhile(seconds)` is called over and over until the end."""
        everybody = [host.ip for host in (*self._seeds, *self._fetchers)]
        self._sessions = [_Session(host, path, path.parent, "seed", []) for host in self._seeds]
        for number, host in enumerate(self._fetchers):
            target = self._folder / f"target{number}"
            target.mkdir()
            # Each knows all who came before it: then every pair has one connection, whoever opened it.
            before = everybody[: everybody.index(host.ip)]
            self._sessions.append(_Session(host, path, target, "fetch", before))
        for session in self._sessions:
            session.ready()
        begun = time.perf_counter()
        for session in self._sessions:
            session.go()
        fetching = self._sessions[len(self._seeds) :]
        while not all(session.whole for session in fetching):
            time.sleep(0.02)
            meanwhile(time.perf_counter() - begun)
        for number in range(len(fetching)):
            target = self._folder / f"target{number}" / path.name
            assert filecmp.cmp(path, target, shallow=False), "it fetched something else"
        return [session.course for session in fetching]

    def kill(self, seed: int) -> None:
        """As in ours."""
        self._sessions[seed].signal(signal.SIGKILL)

    def freeze(self, seed: int) -> None:
        """As in ours."""
        self._sessions[seed].signal(signal.SIGSTOP)


class _Session(threading.Thread):
    """One session's process."""

    def __init__(self, host: Host, path: Path, folder: Path, role: str, peers: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self.course = Course()
        self.whole = False
        self._ready = threading.Event()
        module = "scripts.benchmarks.swarm.torrents"
        self._process = subprocess.Popen(
            [*host.inside, sys.executable, "-m", module, host.ip, str(path), str(folder), role, *peers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.start()

    def run(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self._ready.set()
        for line in self._process.stdout:
            told = json.loads(line)
            self.course.add(told["seconds"], told["done"])
            self.whole = self.whole or told["whole"]

    def ready(self) -> None:
        self._ready.wait()

    def go(self) -> None:
        self._input.write(b"go\n")
        self._input.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._input.close()
        self.join()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin


def _session(ip: str, path: Path, folder: Path, role: str, peers: Sequence[str]) -> None:
    import libtorrent as lt

    made = lt.create_torrent([lt.create_file_entry(path.name, path.stat().st_size)], PIECE_BYTES)
    lt.set_piece_hashes(made, str(path.parent))
    session = lt.session({**SETTINGS, "listen_interfaces": f"{ip}:{PORT}"})
    wanted = lt.add_torrent_params()
    wanted.ti = lt.torrent_info(made.generate())
    wanted.save_path = str(folder)
    wanted.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if role == "seed":
        wanted.flags |= lt.torrent_flags.seed_mode
        handle = session.add_torrent(wanted)
    print("{}", flush=True)
    sys.stdin.readline()
    if role == "fetch":
        begun = time.perf_counter()
        wanted.peers = [(peer, PORT) for peer in peers]
        handle = session.add_torrent(wanted)
        whole = False
        while not whole:
            time.sleep(0.05)
            status = handle.status()
            whole = status.is_seeding
            told = {"seconds": time.perf_counter() - begun, "done": status.total_wanted_done, "whole": whole}
            print(json.dumps(told), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _session(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5:])
