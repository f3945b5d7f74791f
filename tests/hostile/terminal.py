"""A command on a pseudo terminal: every byte that it writes there."""

from __future__ import annotations

import os
import pty
import re
import subprocess

from tests.processes import Home

OUR_OWN = re.compile(r"\x1b\[(?:\?25[hl]|\d*[ABCDGJK]|\d+(?:;\d+)*m|m)|\r")
"""What our bars and tables send themselves: colours, cursor and line control."""


def on_terminal(home: Home, *arguments: object, timeout: float = 60.0, **variables: str) -> tuple[int, str]:
    """Exit code and all that stdout and stderr wrote to a terminal of 200 columns."""
    outer, inner = pty.openpty()
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
    return code, written.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other side is closed
        return b""
