"""A command line run in this process, and a running node that answers from a script."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

import pytest

from dhtshare.cli.main import run
from dhtshare.control.protocol import Answer, Request, decode_request, encode_answer


@dataclass(frozen=True)
class Ran:
    """What a command line left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]


@dataclass(frozen=True)
class CommandLine:
    """Runs command lines; nothing of the tester's own environment or home comes through."""

    home: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ran:
        self.capsys.readouterr()
        code = run(["--home", str(self.home), *arguments])
        captured = self.capsys.readouterr()
        return Ran(code, captured.out, captured.err)


def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop every option that the tester's shell has set."""
    for name in [name for name in os.environ if name.startswith("DHTSHARE_")]:
        monkeypatch.delenv(name)


@dataclass
class ScriptedNode:
    """Stands in for a running node: notes each request and plays its answers."""

    answers: Sequence[Answer]
    hang: bool = False  # after its answers it says nothing more, not even that it is gone
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket) -> None:
        with contextlib.suppress(OSError):  # the listener is closed when the test is over
            while True:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as lines:
                    line = lines.readline()
                    if not line:
                        continue
                    self.requests.append(decode_request(line))
                    connection.sendall(b"".join(map(encode_answer, self.answers)))
                    if self.hang:
                        self.over.wait()


@contextmanager
def running_node(home: Path, *answers: Answer, hang: bool = False) -> Iterator[ScriptedNode]:
    """Within, a node seems to run in `home`."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    node = ScriptedNode(answers, hang)
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(str(home / "control.sock"))
    listener.listen()
    thread = threading.Thread(target=node.serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield node
    finally:
        node.over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(2)
        listener.close()
        thread.join(5)
