"""A real node under a flood of garbage: how many honest pings it answers, how soon, how much it logs and grows.

127/8 counts as the world, so that the rates of a global scope hold. Each honest ping is one datagram from one of 100
proved addresses, not sent again; answered means within 2 s. The same pings without a flood, in the same run, are what
the machine itself does to them.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dhtshare.dht.messages import Method
from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.wire import RequestMessage, decode_response, encode_request
from dhtshare.network import Address, network_id
from scripts.benchmarks.datagrams.sources import Sources
from scripts.benchmarks.goals import at_least, at_most

NETWORK_NAME = "flood"
NETWORK = network_id(NETWORK_NAME)
HONEST = 100
PINGS_PER_SECOND = 200
SECONDS = 15.0
ANSWER_SECONDS = 2.0
RATES = (0, 5_000, 20_000)  # garbage datagrams a second
ANSWERED = {5_000: 0.99, 20_000: 0.90}  # of honest pings, at least (threats.md)
P95_MS = {5_000: 100.0}
LOG_MB_PER_HOUR = 1.0
REALLY_SENT = 0.95  # of a rate, at least, or its row says nothing of that rate
RNG = random.Random(2)


class Honest:
    """A hundred addresses that ping the node, and write down when it answers."""

    def __init__(self, port: int, network: bytes = NETWORK) -> None:
        self.network = network
        self.sources = Sources(10_000 + HONEST)
        self.target = Address("127.0.0.1", port)
        self.numbers = range(10_000, 10_000 + HONEST)  # none that the flood comes from
        self.tokens = [b""] * HONEST

    def prove(self) -> None:
        """Every address gets its token."""
        deadline = time.monotonic() + 10
        while not all(self.tokens) and time.monotonic() < deadline:
            for index, number in enumerate(self.numbers):
                if not self.tokens[index]:
                    self.sources.send(number, self._ping(number, b"", index), self.target)
            self.sources.wait(0.3)
            while (heard := self.sources.receive()) is not None:
                if heard[1][4] == 1:
                    self.tokens[int.from_bytes(heard[1][5:9], "big")] = decode_response(heard[1]).token
        assert all(self.tokens), "the node did not answer before the flood"

    def run(self, seconds: float) -> dict[str, Any]:
        """Steady pings; a share answered and their delays."""
        sent: list[float] = []
        delays: dict[int, float] = {}
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds + ANSWER_SECONDS:
            due = min(int((now - began) * PINGS_PER_SECOND), int(seconds * PINGS_PER_SECOND))
            while len(sent) < due:
                index = len(sent) % HONEST
                datagram = self._ping(self.numbers[index], self.tokens[index], len(sent))
                sent.append(time.perf_counter())
                self.sources.send(self.numbers[index], datagram, self.target)
            self.sources.wait(0.004)
            while (heard := self.sources.receive()) is not None:
                number = int.from_bytes(heard[1][5:9], "big")
                if heard[1][4] == 1 and number < len(sent):
                    delays.setdefault(number, time.perf_counter() - sent[number])
        times = sorted(delay for delay in delays.values() if delay <= ANSWER_SECONDS)
        cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [float("nan")] * 99
        return {
            "pings": len(sent),
            "answered": round(len(times) / len(sent), 5),
            "p50_ms": round(cuts[49] * 1000, 1),
            "p95_ms": round(cuts[94] * 1000, 1),
            "p99_ms": round(cuts[98] * 1000, 1),
        }

    def _ping(self, number: int, token: bytes, count: int) -> bytes:
        identifier = count.to_bytes(4, "big") + bytes(16)
        node_id = bound_id(self.sources.hosts[number], RNG)
        return encode_request(
            self.network, identifier, RequestMessage(Method.PING, node_id, {}, True, token, self.target)
        )


def _node(home: Path, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    command = [sys.executable, "-m", "dhtshare", "--home", str(home), "--network", NETWORK_NAME, "--json", "--verbose"]
    command += ["node", "--host", "127.0.0.1", "--port", "0", "--no-lan", "--treat-as-public", "127.0.0.0/8"]
    command += ["--reachable", "yes"]
    with log.open("wb") as file:
        popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file)
    assert popen.stdout is not None
    ready = json.loads(popen.stdout.readline())
    return popen, int(ready["address"].rpartition(":")[2])


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def flood() -> dict[str, Any]:
    """Without a flood, at 5,000/s and at 20,000/s."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        home, log = Path(folder) / "home", Path(folder) / "log"
        popen, port = _node(home, log)
        try:
            honest = Honest(port)
            honest.prove()
            before = _resident(popen.pid)
            logged = _logged(home, log)
            for rate in RATES:
                arguments = [str(port), NETWORK_NAME, str(rate), str(SECONDS)]
                command = [sys.executable, "-m", "scripts.benchmarks.datagrams.flooder", *arguments]
                flooder = subprocess.Popen(command, stdout=subprocess.PIPE) if rate else None
                if flooder is not None:
                    time.sleep(3.0)  # until it has prepared its garbage
                pinged = honest.run(SECONDS - 4.0)
                if flooder is not None:
                    told = json.loads(flooder.communicate(timeout=60)[0])
                    pinged |= judged(rate, pinged, told["sent"] / told["seconds"])
                figures[str(rate)] = pinged
            figures["memory_growth_mb"] = round((_resident(popen.pid) - before) / 1e6, 1)
            figures["logged_bytes"] = _logged(home, log) - logged
            per_hour = figures["logged_bytes"] / (2 * SECONDS) * 3600 / 1e6
            figures["log_mb_per_hour"] = at_most(round(per_hour, 3), LOG_MB_PER_HOUR)
            honest.sources.close()
        finally:
            popen.terminate()
            figures["exit_code"] = popen.wait(20)
    return figures


def judged(rate: int, pinged: dict[str, Any], sent: float) -> dict[str, Any]:
    """What a flood's row has to reach, `sent` garbage datagrams a second; one that was not sent tells nothing."""
    judged: dict[str, Any] = {
        "garbage_per_second": at_least(round(sent), REALLY_SENT * rate),
        "valid": sent >= REALLY_SENT * rate,
        "answered": at_least(pinged["answered"], ANSWERED[rate]),
    }
    if rate in P95_MS:
        judged["p95_ms"] = at_most(pinged["p95_ms"], P95_MS[rate])
    return judged


def _logged(home: Path, log: Path) -> int:
    """What stands on standard error, with --verbose, and in any log of the home."""
    return log.stat().st_size + sum(path.stat().st_size for path in home.rglob("*.log"))
