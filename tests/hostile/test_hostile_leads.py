"""False providers: a fetch or a search led by a lying DHT node is no weapon against those whom it names."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from types import TracebackType
from typing import Self

import pytest

from dhtshare.network import split_host_port
from dhtshare.transfer.dials import ATTEMPTS_PER_ADDRESS, ATTEMPTS_PER_IP, DIALS_IN_FLIGHT, IPS_PER_NETWORK
from tests.hostile.raw_node import RawNode
from tests.hostile.raw_server import FalseServer
from tests.hostile.test_hostile_stores import signed
from tests.processes import Network

HOLD_SECONDS = 0.3
PUBLIC = ("--treat-as-public", "127.0.0.0/8")
SYSTEM_HOST = f"127.80.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"  # no other run listens there
SYSTEM_PORTS = (22, 25, 53, 80, 443, 1023)


class Victims:
    """Listens on all of 127/8, on several ports, and counts who is knocked at; hangs up after HOLD_SECONDS.

    `system_ports`: those of SYSTEM_PORTS at which it listens, too, on SYSTEM_HOST. It takes root.
    """

    def __init__(self, ports: int) -> None:
        self.listeners = [_listener("0.0.0.0", 0) for _ in range(ports)]
        self.ports = [listener.getsockname()[1] for listener in self.listeners]
        self.system_ports = []
        for port in SYSTEM_PORTS:
            with contextlib.suppress(OSError):  # not allowed, or somebody serves there
                self.listeners.append(_listener(SYSTEM_HOST, port))
                self.system_ports.append(port)
        self.knocks: Counter[tuple[str, int]] = Counter()
        self.most_at_once = 0
        self._open: dict[socket.socket, float] = {}
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._listen, args=(one,), daemon=True) for one in self.listeners]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5)
        for sock in (*self.listeners, *self._open):
            sock.close()

    def _listen(self, listener: socket.socket) -> None:
        while not self._over.is_set():
            sock = None
            with contextlib.suppress(TimeoutError):
                sock, _ = listener.accept()
            with self._lock:
                for one, since in list(self._open.items()):
                    if time.monotonic() - since > HOLD_SECONDS:
                        del self._open[one]
                        one.close()
                if sock is not None:
                    self.knocks[sock.getsockname()[:2]] += 1
                    self._open[sock] = time.monotonic()
                    self.most_at_once = max(self.most_at_once, len(self._open))


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(128)
    listener.settimeout(0.05)
    return listener


def false_leads(ports: list[int]) -> list[tuple[str, int]]:
    """One IP at every port, one /24 at every IP, many networks; low ports and addresses of other scopes."""
    leads = [("127.50.0.1", port) for port in ports]
    leads += [(f"127.60.0.{number}", ports[0]) for number in range(1, 60)]
    leads += [(f"127.70.{number}.1", ports[number % len(ports)]) for number in range(60)]
    leads += [(SYSTEM_HOST, port) for port in SYSTEM_PORTS]
    leads += [("192.168.1.1", 80), ("10.0.0.1", 4470), ("169.254.169.254", 8080), ("255.255.255.255", 4470)]
    random.Random(3).shuffle(leads)
    return leads


def check(victims: Victims, *, in_flight: int) -> None:
    """The limits of one errand (threats.md)."""
    per_ip: Counter[str] = Counter()
    networks: dict[str, set[str]] = defaultdict(set)
    for (host, _), count in victims.knocks.items():
        per_ip[host] += count
        networks[host.rpartition(".")[0]].add(host)
    assert sum(victims.knocks.values()) > 40, "they are knocked at, or this shows nothing"
    assert max(victims.knocks.values()) <= ATTEMPTS_PER_ADDRESS
    assert max(per_ip.values()) <= ATTEMPTS_PER_IP
    assert max(map(len, networks.values())) <= IPS_PER_NETWORK
    assert victims.most_at_once <= in_flight
    assert not any(port < 1024 for _, port in victims.knocks), "nobody's system port is knocked at"
    if os.geteuid() == 0:  # others may not listen there, so for them the line before shows nothing
        assert victims.system_ports


@pytest.mark.parametrize("command", ["fetch", "info"])
def test_an_errand_is_no_weapon(network: Network, command: str) -> None:
    with Victims(8) as victims, FalseServer(network.name, "127.0.0.50", false_leads(victims.ports)) as liar:
        network.bootstrap = liar.address
        node = network.home().node("--reachable", "no", *PUBLIC)
        more = ("-o", node.home.cwd / "out") if command == "fetch" else ()
        node.run(command, "5a" * 32, "--timeout", 7, *more, code=None)
        assert liar.asked, "the liar is believed to know"
        check(victims, in_flight=DIALS_IN_FLIGHT)


def test_a_search_is_no_weapon(network: Network) -> None:
    """Fifty hits, each with a hundred false providers: counted together."""
    with Victims(8) as victims, FalseServer(network.name, "127.0.0.50", false_leads(victims.ports)) as liar:
        holder = network.node("--reachable", "yes", *PUBLIC)
        first, network.bootstrap = holder.address, liar.address
        node = network.home().node("--bootstrap", first, "--reachable", "no", *PUBLIC)
        with RawNode(network.name, "127.0.0.66") as spammer:
            spammer.store([first], [signed(network.name, number) for number in range(50)])
        node.run("search", "walrus", "--timeout", 8, code=None)
        assert liar.asked
        check(victims, in_flight=8 * DIALS_IN_FLIGHT)


def test_a_seed_that_an_honest_node_names_is_found_among_a_thousand_false_ones(network: Network) -> None:
    """Leads take turns by who told them."""
    rng = random.Random(5)
    dead = [(f"127.{rng.randrange(100, 120)}.{rng.randrange(250)}.1", rng.randrange(2000, 60000)) for _ in range(1000)]
    with FalseServer(network.name, "127.0.0.50", dead) as liar:
        holder = network.node("--reachable", "yes", *PUBLIC)
        seed = network.node("--reachable", "yes", *PUBLIC)
        path = network.folder / "real.bin"
        path.write_bytes(b"real" * 1000)
        content = seed.run("publish", path, code=None).result["hash"]
        first, network.bootstrap = holder.address, liar.address
        node = network.home().node("--bootstrap", first, "--reachable", "no", *PUBLIC)
        done = node.run("fetch", content, "-o", node.home.cwd / "out", "--no-seed", "--timeout", 40)
        assert liar.asked
        assert done.result["sources"][0]["address"] == seed.address
    assert split_host_port(seed.address)[0] == "127.0.0.1"
