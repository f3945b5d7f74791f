"""The ground that all contestants of a run stand on: one congestion control, warm memory, and what a process used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

MEMORY = Path("/dev/shm")
CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_INSIDE = "BENCH_INSIDE_NAMESPACE"
_BLOCK = 1 << 20


def enter_namespace() -> str:
    """Starts this program again in a network namespace of its own, where every socket uses reno; which one is in use.

    A pacing congestion control (bbr) takes two thirds of a loopback's rate from programs that do not choose
    another. The system's own setting is not touched. Without root it stands, and the figures say so.
    """
    if _INSIDE not in os.environ and os.geteuid() == 0 and shutil.which("unshare"):
        os.environ[_INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", "scripts.benchmarks", *sys.argv[1:]])
    if _INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        CONGESTION.write_text("reno")
    return CONGESTION.read_text().strip()


def warm(count: int) -> None:
    """Touches so many bytes of memory and frees them: what is freed last is used next.

    A virtual machine's first touch of a page may cost more than the transfer, and it is a first touch again where the
    host has taken back what was free. So it is done before each run.
    """
    path, block = MEMORY / f"bench-warm-{os.getpid()}", os.urandom(_BLOCK)
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(0, count, _BLOCK):
                file.write(block)
    finally:
        path.unlink()


def fill(path: Path, count: int) -> None:
    """Makes a file of `count` random bytes, not fsynced."""
    with path.open("wb", buffering=0) as file:
        for at in range(0, count, _BLOCK):
            file.write(os.urandom(min(_BLOCK, count - at)))


def write_rate(folder: Path, count: int) -> float:
    """MB/s of writing and fsyncing a file of `count` bytes from one buffer: the disk's own rate."""
    path, block = folder / "rate", os.urandom(_BLOCK)
    begun = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(0, count, _BLOCK):
            file.write(block)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    path.unlink()
    return count / seconds / 1e6


def cpu_seconds(process: int) -> float:
    """Seconds of processor time that a process has used, in the kernel too."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(process: int) -> int:
    """The most resident memory that a process has had since `forget_peak`."""
    return _status(process, "VmHWM")


def resident_bytes(process: int) -> int:
    """The resident memory of a process now."""
    return _status(process, "VmRSS")


def forget_peak(process: int) -> None:
    """The peak of resident memory counts from now on."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def _status(process: int, field: str) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise KeyError(field)
