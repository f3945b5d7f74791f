"""Commands on a real (pseudo) terminal: bars come and go, the cursor stays, names stay harmless."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dhtshare.control.protocol import Answer, End, Event, Result
from tests.unit.cli.cli_fakes import running_node

ROOT = Path(__file__).parents[3]
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def on_terminal(
    home: Path, arguments: list[str], on_output: Callable[[int, str], None] = lambda pid, text: None, **variables: str
) -> tuple[int, str]:
    """Exit code, and everything the terminal got."""
    terminal, inner = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "100", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "dhtshare", "--home", str(home), *arguments]
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    with subprocess.Popen(command, env=environment | variables, **streams) as process:
        os.close(inner)
        text = b""
        while more := _read(terminal):
            text += more
            on_output(process.pid, text.decode(errors="replace"))
        os.close(terminal)
    return process.returncode, text.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other side is closed
        return b""


HIT = {
    "hash": "ab" * 32,
    "name": "evil\u202egpj\x1b[2J.exe",
    "names": [],
    "kind": "file",
    "size": 1,
    "publishers": 1,
    "providers": 1,
}
HITS: list[Answer] = [
    Event({"event": "hit", **HIT}),
    Result({"query": ["x"], "results": [HIT], "nodes_asked": 1, "seconds": 0.1}),
    End(),
]


def test_hits_appear_as_they_come_and_then_as_a_table(tmp_path: Path) -> None:
    with running_node(tmp_path / "h", *HITS):
        code, text = on_terminal(tmp_path / "h", ["search", "x"])
    assert code == 0
    assert text.index(HIDE) < text.index("1 hit so far") < text.index(SHOW) < text.index("publishers")
    assert text.count("evil<U+202E>gpj<U+001B>[2J.exe") >= 2
    assert "\u202e" not in text
    assert "\x1b[2J" not in text


def test_no_color(tmp_path: Path) -> None:
    with running_node(tmp_path / "h", *HITS[1:]):
        assert "\x1b[36m" in on_terminal(tmp_path / "h", ["search", "x"])[1]
        assert "\x1b[36m" not in on_terminal(tmp_path / "h", ["search", "x"], NO_COLOR="1")[1]


def test_json_on_a_terminal_is_json(tmp_path: Path) -> None:
    with running_node(tmp_path / "h", *HITS):
        assert "\x1b" not in on_terminal(tmp_path / "h", ["search", "x", "--json"])[1]


PROGRESS = {"event": "progress", "hash": "ab", "name": "a.bin", "done": 5, "size": 10, "rate": 2.0, "eta": 2.5}


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bar_with_its_figures_and_with_v_a_map(tmp_path: Path, verbose: bool) -> None:
    result = {"path": "/tmp/a.bin", "size": 10, "seconds": 1, "downloaded": 10, "reused": 0, "discarded": 0}
    event = Event({**PROGRESS, "peers": 4, "map": "88880000"})
    with running_node(tmp_path / "h", event, Result({**result, "sources": []}), End()):
        code, text = on_terminal(tmp_path / "h", ["fetch", "1", *(["-v"] if verbose else [])])
    assert code == 0
    assert "5 B / 10 B  2 B/s  2 s left  4 peers" in text
    assert ("████····" in text) is verbose
    assert text.rindex(SHOW) < text.index("/tmp/a.bin")


def test_two_interrupts_leave_at_once_with_the_cursor_shown(tmp_path: Path) -> None:
    """The node never answers the first; the second does not wait for it."""
    sent: list[int] = []

    def interrupt(pid: int, text: str) -> None:
        if "a.bin" in text and len(sent) < 1:
            sent.append(pid)
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)  # another number, so that the two cannot melt into one

    with running_node(tmp_path / "h", Event(PROGRESS), hang=True):
        code, text = on_terminal(tmp_path / "h", ["fetch", "1"], interrupt)
    assert code == 130
    assert text.rindex(HIDE) < text.rindex(SHOW)
    assert "Traceback" not in text
