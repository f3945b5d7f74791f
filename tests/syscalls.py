"""What a process asked of the kernel, in the kernel's own order: calls with their files, what they wrote, and when.

`before` is proof: the log shows that one call had returned when the other was begun.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

WRITES = ("write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg")
SYNCS = ("fsync", "fdatasync")
NAMES = ("rename", "renameat", "renameat2", "link", "linkat")
_TRACED = (*WRITES, *SYNCS, *NAMES, "openat", "mkdir", "mkdirat", "unlink", "unlinkat")
_SHOWN_BYTES = 4200  # of what is written: a page of SQLite's and its head

_LINE = re.compile(r"(\d+) +[\d.]+ (.*)")
_BEGUN = re.compile(r"(\w+)\((.*?)(?: <unfinished \.\.\.>|\) += (-?\w+)(?:<.*>)?(?: E\w+ \(.*\))?(?: \(.*\))?)$")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)\) += (-?\w+)")
_DESCRIPTOR = re.compile(r"(?:\d+|AT_FDCWD)<(.*?)>(?=, |$)")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """One call that succeeded. `begun` and `ended` are lines of the log."""

    name: str
    files: tuple[str, ...]  #: the descriptor's file or socket, or the files named; whole paths
    data: bytes  #: the beginning of what it wrote
    arguments: str
    count: int  #: what it returned
    begun: int
    ended: int

    def before(self, other: Call) -> bool:
        """Whether this had returned when the other was begun."""
        return self.ended < other.begun

    @property
    def offset(self) -> int:
        """Where a pwrite64 wrote."""
        return int(self.arguments.rpartition(", ")[2])


def tracing(log: Path) -> tuple[str, ...]:
    """The command line before a command that is to be traced; it stays its parent's own child."""
    options = f"-D -f --seccomp-bpf -yy -ttt -q -s {_SHOWN_BYTES} -e trace={','.join(_TRACED)}"
    return ("sh", "-c", f'exec strace {options} -o {shlex.quote(str(log))} -- "$@"', "sh")


class Trace:
    """All calls of a process that succeeded, in the order of their beginning."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    @classmethod
    def read(cls, log: Path) -> Self:
        """What a traced process left that has ended."""
        return cls(sorted(_calls(log.read_text(errors="replace").splitlines()), key=lambda call: call.begun))

    def writes(self, file: Path | str, data: bytes = b"") -> list[Call]:
        """Writes to this file, or to sockets of that path, of what contains `data`."""
        return [
            call
            for call in self.calls
            if call.name in WRITES and _is(call.files[0], str(file)) and data in call.data and call.count > 0
        ]

    def syncs(self, path: Path) -> list[Call]:
        return [call for call in self.calls if call.name in SYNCS and call.files == (str(path),)]

    def renames(self, folder: Path) -> list[Call]:
        """Renames and hard links that gave something a name in this folder."""
        return [call for call in self.calls if call.name in NAMES and Path(call.files[1]).parent == folder]

    def made(self, path: Path) -> Call:
        """The call that made this file or folder."""
        return next(
            call
            for call in self.calls
            if call.files == (str(path),)
            and (call.name.startswith("mkdir") or (call.name == "openat" and "O_CREAT" in call.arguments))
        )


def _is(file: str, wanted: str) -> bool:
    return file == wanted or (file.startswith("UNIX") and f'"{wanted}"' in file)


def _calls(lines: list[str]) -> Iterator[Call]:
    waiting: dict[str, tuple[str, str, int]] = {}  # thread -> a call that has not returned
    for number, line in enumerate(lines):
        thread, rest = _LINE.fullmatch(line).groups()  # type: ignore[union-attr]
        if (resumed := _RESUMED.match(rest)) is not None:
            name, arguments, begun = waiting.pop(thread)
            arguments, result = arguments + resumed[2], resumed[3]
        elif (at_once := _BEGUN.match(rest)) is not None:
            name, arguments, result = at_once.groups()
            begun = number
            if result is None:
                waiting[thread] = name, arguments, number
                continue
        else:
            continue  # a signal, or the end of a thread
        if result.isdigit():
            yield _call(name, arguments, int(result), begun, number)


def _call(name: str, arguments: str, result: int, begun: int, ended: int) -> Call:
    opened = _DESCRIPTOR.match(arguments)
    strings = [_bytes(text) for text in _STRING.findall(arguments[opened.end() :] if opened else arguments)]
    if name in WRITES or name in SYNCS:
        assert opened is not None, arguments
        return Call(name, (opened[1],), b"".join(strings), arguments, result, begun, ended)
    folders = _DESCRIPTOR.findall(re.sub(_STRING, "", arguments)) if name.endswith(("at", "at2")) else []
    files = [text.decode(errors="surrogateescape") for text in strings]
    if folders:
        files = [str(Path(folder) / file) for folder, file in zip(folders, files, strict=True)]
    return Call(name, tuple(files), b"", arguments, result, begun, ended)


def _bytes(text: str) -> bytes:
    value = ast.literal_eval(f'b"{text}"')
    assert isinstance(value, bytes)
    return value
