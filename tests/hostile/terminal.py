"""A command on a pseudo terminal: every byte that it writes there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
from collections.abc import Iterable

from tests.hostile.names import steers
from tests.processes import Home

OUR_OWN = re.compile(
    r"\x1b\[\?25h\r(?:\x1b\[1A\x1b\[2K)*"  # the end of a bar, which may have had no line
    r"|\x1b\[\?25[hl]"
    r"|\r(?:\x1b\[2K)?(?:\x1b\[1A\x1b\[2K)+"
    r"|\r\x1b\[2K"
    r"|\x1b\[\d+(?:;\d+)*m"
)
"""What bars and colours take: the cursor hidden and shown, whole lines wiped from the last upwards, attributes of text.

A stranger may write the same: see `strangers`. On a dumb terminal (TERM=dumb) there is nothing of our own at all.
"""
BEFORE, BEHIND = 5, 8  # characters by which a stranger's control character is told from one of ours


def strangers(text: str, names: Iterable[str]) -> set[str]:
    """What steers in a text and is not ours; and pieces of these names that came through raw, ours as they may look."""
    raw = {
        piece
        for name in names
        for place, character in enumerate(name)
        if steers(character) and len(piece := name[max(0, place - BEFORE) : place + BEHIND]) > 1 and piece in text
    }
    return raw | steers(OUR_OWN.sub("", text))


def on_terminal(home: Home, *arguments: object, timeout: float = 60.0, **variables: str) -> tuple[int, str]:
    """Exit code and all that stdout and stderr wrote to a terminal of 200 columns."""
    outer, inner = pty.openpty()
    attributes = termios.tcgetattr(inner)
    attributes[1] &= ~termios.OPOST  # else the terminal writes carriage returns of its own, which could hide others
    termios.tcsetattr(inner, termios.TCSANOW, attributes)
    environment = home.network.environment() | {"TERM": "xterm-256color", "COLUMNS": "200", "LANG": "C.UTF-8"}
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    command = home.command(*arguments, json_output=False)
    with subprocess.Popen(command, env=environment | variables, cwd=home.cwd, **streams) as process:
        os.close(inner)
        written = b""
        while more := _read(outer):
            written += more
        os.close(outer)
        code = process.wait(timeout)
    return code, written.decode("utf-8", "surrogateescape")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other side is closed
        return b""
