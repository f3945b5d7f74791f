"""What a process holds, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

from tests.processes import Node


def descriptors(node: Node) -> int:
    """Open files, sockets included."""
    return sum(1 for _ in Path(f"/proc/{node.running.process.pid}/fd").iterdir())


def forget_peak(node: Node) -> None:
    """The peak begins anew, at what is resident now."""
    Path(f"/proc/{node.running.process.pid}/clear_refs").write_text("5")


def peak(node: Node) -> int:
    """Most resident bytes since then."""
    return _figure(node, "VmHWM")


def resident(node: Node) -> int:
    """Resident bytes now."""
    return _figure(node, "VmRSS")


def _figure(node: Node, name: str) -> int:
    for line in Path(f"/proc/{node.running.process.pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name}")
