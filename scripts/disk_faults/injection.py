"""Which system calls a process makes on its files, and how one of them is made to fail (strace -e inject).

The process stays its parent's own child and strace stands aside (-D): a signal for the process reaches it, and where it
is killed nothing of it is left behind a dead tracer.
"""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Whatever changes a file, a name or what is durable. Injected one at a time.
CALLS = (
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "link",
    "linkat",
    "ftruncate",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
)
ERRORS = ("EIO", "ENOSPC")
#: Stands in a file's name for the number of the process that made it.
PID = "PID"
TRACER_SECONDS = 10.0  # within which strace has written the end of a process that is gone

_CALL = re.compile(r"(\d+) +([\d.]+) (\w+)\((.*)")
_OPEN_FILE = re.compile(r"(?:\d+|AT_FDCWD)<([^>]*)>")
_QUOTED = re.compile(r'"([^"]*)"')
_INJECTED = "(INJECTED)"
_END = re.compile(r"^(\d+) +[\d.]+ \+\+\+ (?:exited|killed)", re.MULTILINE)


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A call of this kind on this file fails, once: the n-th of whichever threads come to n of them.

    `file` is relative to the folder that holds the home, with PID for the process.
    """

    file: str
    call: str
    number: int
    error: str

    def __str__(self) -> str:
        return f"{self.file} {self.call} {self.number} {self.error}"


def tracing(log: Path) -> tuple[str, ...]:
    """The command line before a command of which all these calls are written to `log`."""
    return _strace(log, f"-e trace={','.join(CALLS)}")


def injecting(fault: Fault, base: Path, log: Path) -> tuple[str, ...]:
    """The command line before a command that meets the fault; `base` is the folder that holds the home."""
    inject = f"-e trace={fault.call} -e inject={fault.call}:error={fault.error}:when={fault.number}"
    # strace compares names as they are written: calls beside an open folder (…at) write the last part alone.
    names = {str(base / fault.file), Path(fault.file).name}
    return _strace(log, " ".join([inject, *(f"-P {_with_pid(name)}" for name in sorted(names))]))


def _strace(log: Path, options: str) -> tuple[str, ...]:
    command = f'exec strace -D -f --seccomp-bpf -y -ttt -q -o {shlex.quote(str(log))} {options} -- "$@"'
    return ("sh", "-c", command, "sh")  # the shell's number becomes the process's own


def _with_pid(name: str) -> str:
    return "$$".join(shlex.quote(part) if part else "" for part in name.split(PID))


def faults_of(log: Path, base: Path, process: int) -> list[Fault]:
    """Every single fault that a run like the logged one can meet: each call on each file below `base`."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for thread, call, file in _calls(log, base, process):
        counts[thread, call, file] += 1
    most: dict[tuple[str, str], int] = {}
    for (_, call, file), count in counts.items():
        most[call, file] = max(count, most.get((call, file), 0))
    return sorted(
        Fault(file, call, number, error)
        for (call, file), count in most.items()
        for number in range(1, count + 1)
        for error in ERRORS
    )


def _calls(log: Path, base: Path, process: int) -> Iterator[tuple[str, str, str]]:
    """Thread, call and file of each call on a file below `base`."""
    for line in log.read_text(errors="replace").splitlines():
        found = _CALL.match(line)
        if found is None:
            continue
        thread, _, call, arguments = found.groups()
        path = _path(call, arguments)
        if path is not None and path.is_relative_to(base) and path != base:
            yield thread, call, re.sub(rf"\.{process}(?=\.|$)", f".{PID}", str(path.relative_to(base)))


def _path(call: str, arguments: str) -> Path | None:
    """The first file that a call names, by descriptor, by descriptor and name, or by name."""
    opened, quoted = _OPEN_FILE.match(arguments), _QUOTED.search(arguments)
    if opened is None:
        return Path(quoted[1]) if quoted is not None else None
    if call.endswith("at") and quoted is not None:
        return Path(opened[1]) / quoted[1]
    return Path(opened[1])


def happened_at(log: Path) -> float | None:
    """Unix seconds of the fault; None where that call did not come."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return min((float(line.split()[1]) for line in lines if _INJECTED in line), default=None)


def wait_for_the_end(log: Path, process: int) -> None:
    """Until strace has written that a process ended, which it did: then its log is whole."""
    deadline = time.monotonic() + TRACER_SECONDS
    while str(process) not in _END.findall(log.read_text(errors="replace")):
        if time.monotonic() > deadline:
            raise AssertionError(f"strace did not tell the end of {process}")
        time.sleep(0.01)
