"""Hosts on one switch, each behind a line of its own: network namespaces, veth pairs, and `tbf` at both ends.

The limit of a line counts Ethernet frames, as `tbf` does: of 1,514 bytes 1,448 are payload, so a line of R bit/s
carries at most R × PAYLOAD_SHARE / 8 bytes a second of what programs send. Delay and loss are none: `tbf` alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PAYLOAD_SHARE = 1448 / 1514
MBIT = 1_000_000
BURST_BYTES = 64_000
QUEUE_MS = 50
CONGESTION = ("cubic", "reno")
"""The first of these that may be chosen in a namespace; both programs leave the choice to the system."""


def why_not() -> str | None:
    """Why namespaces cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [tool for tool in ("ip", "tc") if shutil.which(tool) is None]:
        return f"no {' and '.join(missing)} here (iproute2)"
    name = f"probe-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    _run("ip", "netns", "delete", name)
    return None


def payload_rate(*bits: float) -> float:
    """Bytes of payload a second that lines of so many bit/s carry together."""
    return sum(bits) * PAYLOAD_SHARE / 8


@dataclass(frozen=True)
class Host:
    """A namespace with one address. `inside` opens a command that is to run there."""

    namespace: str
    ip: str

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.namespace]

    def sent_bytes(self) -> int:
        """Frames that left this host, in bytes, since it was made."""
        return self._counter("tx_bytes")[0]

    def payload_bytes(self, way: str, header: int) -> int:
        """What left ("tx") or came ("rx") without `header` bytes of every frame."""
        count, frames = self._counter(f"{way}_bytes", f"{way}_packets")
        return count - header * frames

    def _counter(self, *names: str) -> list[int]:
        paths = [f"/sys/class/net/eth0/statistics/{name}" for name in names]
        done = subprocess.run([*self.inside, "cat", *paths], capture_output=True, text=True, check=True)
        return [int(line) for line in done.stdout.split()]


class Switch:
    """All hosts of one measurement; takes them away at its end."""

    def __init__(self) -> None:
        self._name = f"bench-{secrets.token_hex(3)}"
        self._hosts: list[Host] = []

    def __enter__(self) -> Self:
        _run("ip", "netns", "add", self._name)
        self._within(self._name, "ip", "link", "add", "bridge", "type", "bridge")
        self._within(self._name, "ip", "link", "set", "bridge", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in (*(host.namespace for host in self._hosts), self._name):
            _run("ip", "netns", "delete", name)

    def host(self, up: float = 0, down: float = 0) -> Host:
        """One more host; bit/s, 0 = unlimited."""
        number = len(self._hosts) + 1
        name, port = f"{self._name}-{number}", f"port{number}"
        _run("ip", "netns", "add", name)
        self._hosts.append(Host(name, f"10.77.0.{number}"))
        _run("ip", "link", "add", port, "netns", self._name, "type", "veth", "peer", "name", "eth0", "netns", name)
        self._within(self._name, "ip", "link", "set", port, "master", "bridge", "up")
        self._within(name, "ip", "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        self._within(name, "ip", "link", "set", "eth0", "up")
        self._within(name, "ip", "link", "set", "lo", "up")
        setting = " || ".join(f"sysctl -qw net.ipv4.tcp_congestion_control={one}" for one in CONGESTION)
        self._within(name, "sh", "-c", setting)
        if up:
            self._limit(name, "eth0", up)
        if down:
            self._limit(self._name, port, down)
        return self._hosts[-1]

    def _limit(self, namespace: str, device: str, bits: float) -> None:
        self._within(
            namespace,
            *("tc", "qdisc", "add", "dev", device, "root", "tbf"),
            *("rate", f"{round(bits)}bit", "burst", str(BURST_BYTES), "latency", f"{QUEUE_MS}ms"),
        )

    @staticmethod
    def _within(namespace: str, *command: str) -> None:
        _run("ip", "netns", "exec", namespace, *command)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
