"""Machines of their own on wires of their own: Linux network namespaces, for tests of what loopback cannot show.

All machines hang on one link. An address needs no subnet there: whatever is not its own, a machine asks for on
the link, so that any address of the Internet may be given out. Nothing leaves the namespaces.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from types import TracebackType
from typing import Self


def why_not(*more_tools: str) -> str | None:
    """Why this machine cannot do it; None where it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", *more_tools) if shutil.which(tool) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} here"
    name = f"try-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    _run("ip", "netns", "delete", name)
    return None


class Machine:
    """One namespace. `inside` opens a command that is to run in it."""

    def __init__(self, name: str, link: str, port: str) -> None:
        self.name = name
        self._link = link
        self._port = port

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def run(self, *command: str) -> str:
        return _run(*self.inside, *command)

    def give(self, address: str, device: str = "eth0") -> None:
        """One more address, with or without its subnet's length."""
        wide = "/128" if ":" in address else "/32"
        spec = address if "/" in address else address + wide
        self.run("ip", "address", "add", spec, "dev", device, *(["nodad"] if ":" in address else []))

    def take(self, address: str) -> None:
        self.run("ip", "address", "delete", address + ("/128" if ":" in address else "/32"), "dev", "eth0")

    def route(self, address: str) -> None:
        """Everything is on the link, and is asked from this address."""
        self.run("ip", "route", "replace", "default", "dev", "eth0", "src", address)

    def cut(self) -> None:
        """Pull the plug at the other end: this machine notices nothing but silence."""
        _run("ip", "netns", "exec", self._link, "ip", "link", "set", self._port, "nomaster")

    def mend(self) -> None:
        _run("ip", "netns", "exec", self._link, "ip", "link", "set", self._port, "master", "bridge")


class Wires:
    """One link and the machines on it, taken away at the end with all that still runs in them."""

    def __init__(self) -> None:
        self._name = f"dhtshare-{secrets.token_hex(3)}"
        self._machines: list[str] = []

    def __enter__(self) -> Self:
        self._namespace(self._name)
        for command in (
            "link add bridge type bridge",
            "link set bridge type bridge mcast_snooping 0",
            "link set bridge up",
        ):
            _run("ip", "-n", self._name, *command.split())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(self._machines):
            _run("ip", "netns", "delete", name)

    def machine(self, *addresses: str) -> Machine:
        """One more machine on the link, with these addresses; its own words leave from the first of each family."""
        machine = self._attach("bridge", self._name)
        for address in addresses:
            machine.give(address)
        for six in (False, True):
            own = [address for address in addresses if (":" in address) is six]
            if own and "/" not in own[0]:
                machine.run("ip", *(["-6"] if six else []), "route", "add", "default", "dev", "eth0", "src", own[0])
        return machine

    def behind_nat(self, outside: str) -> Machine:
        """A machine at 192.168.1.2 behind a router that masquerades as `outside` and lets in answers only."""
        router = self.machine(outside)
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        name = f"{self._name}-{len(self._machines)}"
        self._namespace(name)
        _run("ip", "link", "add", "eth1", "netns", router.name, "type", "veth", "peer", "eth0", "netns", name)
        router.run("ip", "link", "set", "eth1", "up")
        router.give("192.168.1.1/24", "eth1")
        machine = Machine(name, router.name, "eth1")
        machine.run("ip", "link", "set", "eth0", "up")
        machine.give("192.168.1.2/24")
        machine.run("ip", "route", "add", "default", "via", "192.168.1.1")
        rules = (
            "table ip nat { chain out { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }\n}",
            "table ip filter { chain through { type filter hook forward priority filter; policy drop;"
            " iifname eth1 accept; ct state established,related accept; }\n}",
        )
        for rule in rules:
            router.run("nft", rule)
        return machine

    def _attach(self, bridge: str, link: str) -> Machine:
        number = len(self._machines)
        name, port = f"{self._name}-{number}", f"port{number}"
        self._namespace(name)
        _run("ip", "link", "add", port, "netns", link, "type", "veth", "peer", "eth0", "netns", name)
        _run("ip", "-n", link, "link", "set", port, "master", bridge, "up")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        return Machine(name, link, port)

    def _namespace(self, name: str) -> None:
        _run("ip", "netns", "add", name)
        self._machines.append(name)
        _run("ip", "-n", name, "link", "set", "lo", "up")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout
