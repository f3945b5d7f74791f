"""The network of a soak: real node processes, what they publish, and what is known to be true of it."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from dhtshare.network import network_id
from tests.processes import Finished, Home, Network, Node

STEADY = 3  # nodes that live through the run, the bootstrap node first: theirs are the slopes
MOST_CONTENTS = 60
LARGEST_BYTES = 4 << 20
COMMAND_SECONDS = 120.0


@dataclass(slots=True)
class Content:
    """Something published, and the digest of its true bytes."""

    hash: str
    word: str
    path: Path
    digest: str
    owner: Member
    damaged: bool = False


@dataclass(slots=True, eq=False)
class Member:
    """One home and, while it is up, its node."""

    home: Home
    folder: Path
    node: Node | None
    steady: bool
    contents: list[Content] = field(default_factory=list)

    @property
    def pid(self) -> int:
        assert self.node is not None
        return self.node.running.process.pid


class World:
    """Acts on the network. Whatever must not be is appended to `faults`; what was done is counted in `done`."""

    def __init__(self, network: Network, rng: random.Random, nodes: int) -> None:
        self.network = network
        self.rng = rng
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._numbers = 0
        self._asleep: list[threading.Timer] = []
        self.members = [self._member(steady=number < STEADY) for number in range(nodes)]

    def _member(self, *, steady: bool) -> Member:
        node = self.network.node()
        folder = node.home.cwd / "shared"
        folder.mkdir()
        return Member(node.home, folder, node, steady)

    # ---- what people do --------------------------------------------------------------------------

    def publish(self) -> None:
        """A file of any size up to LARGEST_BYTES under a word of its own."""
        owner = self.rng.choice(self._up())
        self._numbers += 1
        word = f"thing{self._numbers}"
        path = owner.folder / f"{word} soak.bin"
        data = self.rng.randbytes(int(LARGEST_BYTES ** self.rng.random()))
        path.write_bytes(data)
        ran = self._run(owner, "publish", path, "-k", "soak", codes=(0, 8))
        if ran is not None:
            content = Content(ran.result["hash"], word, path, blake3(data).hexdigest(), owner)
            owner.contents.append(content)
        if len(self._contents()) > MOST_CONTENTS:
            self._withdraw(self._contents()[0])

    def search(self) -> None:
        """By the word of something that is offered. Misses are counted: holders die here every few seconds."""
        content = self._offered()
        if content is None:
            return
        asker = self.rng.choice(self._up())
        ran = self._run(asker, "search", content.word, codes=(0, 4))
        if ran is not None and not any(hit["hash"] == content.hash for hit in ran.result["results"]):
            self.done["search missed"] += 1

    def fetch(self) -> None:
        """Into a folder of its own, verified byte by byte against what was published, then deleted.

        What was damaged is asked for, too: it may fail, but never arrive otherwise than as it was.
        """
        if not self._contents():
            return
        content = self.rng.choice(self._contents())
        asker = self.rng.choice([member for member in self._up() if member is not content.owner])
        target = asker.home.cwd / f"got{self._numbers}-{self.rng.randrange(10**9)}"
        ran = self._run(asker, "fetch", content.hash, "-o", target, "--no-seed", "--timeout", 20, codes=(0, 4, 5, 6))
        if ran is not None and ran.code == 0:
            self._check(content, Path(ran.result["path"]))
        elif ran is not None and not content.damaged:
            self.done["fetch failed"] += 1
        shutil.rmtree(target, ignore_errors=True)

    def look(self) -> None:
        """The commands that only look."""
        member = self.rng.choice(self._up())
        self._run(member, self.rng.choice(("status", "list", "peers")), codes=(0,))

    # ---- what happens to them ---------------------------------------------------------------------

    def restart(self) -> None:
        """A polite stop, and a start: nothing of the library is lost."""
        member = self._mortal()
        assert member.node is not None
        ended = member.node.stop()
        if ended.code != 0:
            self.faults.append(f"a polite stop ended with {ended.code}: {ended.stderr[-300:]}")
        self._no_traceback("node", ended.stderr)
        self._start(member)

    def kill(self) -> None:
        """`kill -9` at any moment, and a start: every acknowledged publish is still there."""
        member = self._mortal()
        assert member.node is not None
        member.node.kill()
        self._start(member)

    def freeze(self) -> None:
        """A node stands still for some seconds, as a laptop that sleeps."""
        member = self._mortal()
        assert member.node is not None
        process = member.node.running.process
        process.send_signal(signal.SIGSTOP)
        waking = threading.Timer(self.rng.uniform(1, 8), process.send_signal, (signal.SIGCONT,))
        waking.start()
        self._asleep.append(waking)
        waking.join()  # whoever is asked meanwhile would wait for it; the others go on by themselves

    def garbage(self) -> None:
        """Random bytes by UDP and TCP, some behind the right network id."""
        host, _, port = self.rng.choice(self._up()).node.address.rpartition(":")  # type: ignore[union-attr]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(200):
                head = network_id(self.network.name) if self.rng.random() < 0.5 else b""
                udp.sendto(head + self.rng.randbytes(self.rng.randrange(1200)), (host, int(port)))
        try:
            with socket.create_connection((host, int(port)), timeout=5) as tcp:
                tcp.sendall(self.rng.randbytes(self.rng.randrange(1, 100_000)))
        except OSError:
            return  # closed in our face, as it should be

    def damage(self) -> None:
        """A published file changes under its owner: wrong bytes may never arrive anywhere."""
        content = self._offered()
        if content is None:
            return
        with content.path.open("r+b") as file:
            file.seek(self.rng.randrange(content.path.stat().st_size))
            file.write(b"\0changed\0")
        content.damaged = True

    # ---- inside ------------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Nobody may have ended who was not told to."""
        for member in self.members:
            if member.node is not None and member.node.running.process.poll() is not None:
                self.faults.append(f"a node ended by itself: {member.node.running.errors()[-800:]}")
                member.node = None
                self._start(member)

    def end(self) -> None:
        """Stop everybody politely; what they wrote must be free of tracebacks."""
        for member in self.members:
            if member.node is not None:
                ended = member.node.stop()
                self._no_traceback("node", ended.stderr)
                if ended.code != 0:
                    self.faults.append(f"a polite stop ended with {ended.code}: {ended.stderr[-300:]}")

    def _start(self, member: Member) -> None:
        began = time.monotonic()
        member.node = member.home.node()
        self.done["slowest start ms"] = max(self.done["slowest start ms"], round(1000 * (time.monotonic() - began)))
        listed = {item["hash"] for item in self._items(member)}
        for content in member.contents:
            if content.hash not in listed:
                self.faults.append(f"{content.word}, acknowledged, is not in the library after a restart")

    def _items(self, member: Member) -> list[dict[str, Any]]:
        ran = self._run(member, "list", codes=(0,))
        return ran.result["items"] if ran is not None else []

    def _withdraw(self, content: Content) -> None:
        content.owner.contents.remove(content)
        self._run(content.owner, "unpublish", content.hash, codes=(0,))
        content.path.unlink()

    def _check(self, content: Content, path: Path) -> None:
        if blake3(path.read_bytes()).hexdigest() != content.digest:
            self.faults.append(f"wrong bytes of {content.word} in {path}")

    def _contents(self) -> list[Content]:
        return [content for member in self.members for content in member.contents]

    def _offered(self) -> Content | None:
        contents = [content for content in self._contents() if not content.damaged]
        return self.rng.choice(contents) if contents else None

    def _up(self) -> list[Member]:
        return [member for member in self.members if member.node is not None]

    def _mortal(self) -> Member:
        return self.rng.choice([member for member in self._up() if not member.steady])

    def _run(self, member: Member, *arguments: object, codes: tuple[int, ...]) -> Finished | None:
        """The command's end, or None where it failed as it may not."""
        try:
            ran = member.home.run(*arguments, code=None, timeout=COMMAND_SECONDS)
        except Exception as error:  # whatever it is, it is a finding of the soak
            self.faults.append(f"{arguments[0]}: {error}")
            return None
        self._no_traceback(str(arguments[0]), ran.stderr)
        if ran.code not in codes:
            self.faults.append(f"{arguments[0]} ended with {ran.code}: {ran.stderr[-500:]}")
            return None
        return ran

    def _no_traceback(self, what: str, errors: str) -> None:
        if "Traceback" in errors:
            self.faults.append(f"{what}: {errors[-1500:]}")
