"""What one core serves: ping and find_node, over UDP sockets, asked by 10,000 sources; beside libtorrent's DHT.

The node is a process of its own with one thread that serves. `per_cpu_second` divides by the processor time that this
process used, the kernel's part included: what one core does when nobody else is on it. `bare` answers every datagram
with the same bytes over the same sockets: the limit of anything in Python. libtorrent answers find_node with 8
contacts of 26 bytes, we with 20 and a token.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dhtshare.dht.messages import Method
from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.wire import RequestMessage, decode_response, encode_request
from dhtshare.network import Address
from scripts.benchmarks.datagrams.our_node import NETWORK
from scripts.benchmarks.datagrams.sources import Sources
from scripts.benchmarks.goals import at_least

SOURCES = 10_000
SECONDS = 3.0
RUNS = 3
WINDOW = 2000  # under way at once: the node always finds a queue, however the two are scheduled
TICKS = os.sysconf("SC_CLK_TCK")
GOALS = {"ping": 50_000, "find_node": 20_000}
RNG = random.Random(1)


@dataclass
class Process:
    """A node under test."""

    popen: subprocess.Popen[str]
    port: int
    told: dict[str, Any]

    def processor_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def started(module: str, *arguments: str) -> Iterator[Process]:
    """A node's process; ended with the block."""
    command = [sys.executable, "-m", f"scripts.benchmarks.datagrams.{module}", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        assert popen.stdout is not None
        assert popen.stdin is not None
        try:
            told = json.loads(popen.stdout.readline())
            yield Process(popen, told["port"], told)
        finally:
            popen.stdin.close()
            popen.wait(10)


def measure(
    process: Process, sources: Sources, datagrams: list[bytes], good: Callable[[bytes], bool]
) -> list[dict[str, float]]:
    """The runs, each with answers a second of the clock and of the node's processor."""
    runs = []
    for _ in range(RUNS):
        used = process.processor_seconds()
        answered, others, took = sources.exchange(datagrams, ("127.0.0.1", process.port), SECONDS, WINDOW, good)
        used = process.processor_seconds() - used
        runs.append({"per_second": answered / took, "per_cpu_second": answered / used, "other_answers": others})
    return runs


def row(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median run by processor time, and the worst."""
    ordered = sorted(runs, key=lambda run: run["per_cpu_second"])
    middle = ordered[len(ordered) // 2]
    return {
        "per_cpu_second": round(middle["per_cpu_second"]),
        "worst_per_cpu_second": round(ordered[0]["per_cpu_second"]),
        "per_second": round(middle["per_second"]),
        "other_answers": round(sum(run["other_answers"] for run in runs)),
    }


# ---- ours ----------------------------------------------------------------------------------------


def our_tokens(sources: Sources, port: int) -> list[bytes]:
    """Each source proves its address once, by a padded ping."""
    tokens = [b""] * len(sources.hosts)
    missing = set(range(len(tokens)))
    while missing:
        for number in sorted(missing)[:WINDOW]:
            message = RequestMessage(Method.PING, RNG.randbytes(20), {}, True)
            sources.send(number, encode_request(NETWORK, RNG.randbytes(20), message), ("127.0.0.1", port))
        sources.wait(0.2)
        while (heard := sources.receive()) is not None:
            number, data, _ = heard
            tokens[number] = decode_response(data).token
            missing.discard(number)
    return tokens


def our_requests(sources: Sources, method: Method, tokens: list[bytes], port: int) -> list[bytes]:
    """One request of each source, as a server of its own would send it: an id its address may have, another target."""
    return [
        encode_request(
            NETWORK,
            RNG.randbytes(20),
            RequestMessage(
                method,
                bound_id(host, RNG),
                {2: RNG.randbytes(20)} if method == Method.FIND_NODE else {},
                False,
                token,
                Address("127.0.0.1", port),
            ),
        )
        for host, token in zip(sources.hosts, tokens, strict=True)
    ]


def our_good(data: bytes) -> bool:
    """A response of this version."""
    return data[4] == 1 and data[25 + 1 : 25 + 3] == b"\x00\x01"


def ours(sources: Sources) -> dict[str, Any]:
    """Rows with and without token."""
    figures: dict[str, Any] = {}
    with started("our_node") as process:
        figures["contacts"] = process.told["contacts"]
        tokens = our_tokens(sources, process.port)
        for method in (Method.PING, Method.FIND_NODE):
            name = method.name.lower()
            proved = our_requests(sources, method, tokens, process.port)
            unproved = our_requests(sources, method, [b""] * len(tokens), process.port)
            figures[name] = row(measure(process, sources, proved, our_good))
            figures[f"{name}_unproved"] = row(measure(process, sources, unproved, our_good))
    return figures


def bare(sources: Sources) -> dict[str, Any]:
    """The sockets alone."""
    with started("bare_node") as process:
        requests = our_requests(sources, Method.PING, [bytes(8)] * len(sources.hosts), process.port)
        return row(measure(process, sources, requests, our_good))


# ---- libtorrent ----------------------------------------------------------------------------------


def their_request(method: str, node_id: bytes, target: bytes) -> bytes:
    """KRPC of BEP 5."""
    named = b"6:target20:" + target if method == "find_node" else b""
    return b"d1:ad2:id20:" + node_id + named + b"e1:q%d:%s1:t2:aa1:y1:qe" % (len(method), method.encode())


def their_good(data: bytes) -> bool:
    return b"1:rd2:id20:" in data and b"1:y1:r" in data


def answer_theirs(sources: Sources, ids: list[bytes], until: threading.Event) -> None:
    """Be the nodes that it is introduced to: answer its pings and finds, each under an id of its own."""
    while not until.is_set():
        sources.wait(0.1)
        while (heard := sources.receive()) is not None:
            number, data, sender = heard
            at = data.find(b"1:t")
            if number < 0 or b"1:y1:q" not in data or at < 0:
                continue
            length, _, rest = data[at + 3 :].partition(b":")
            transaction = rest[: int(length)]
            nodes = b"5:nodes0:" if b"9:find_node" in data or b"9:get_peers" in data else b""
            answer = b"d1:rd2:id20:" + ids[number] + nodes + b"e1:t%d:%s1:y1:re" % (len(transaction), transaction)
            sources.send(number, answer, sender)


def theirs(sources: Sources) -> dict[str, Any]:
    """The same two questions; its table is filled by answering its own pings from 200 addresses first."""
    ids = [RNG.randbytes(20) for _ in sources.hosts]
    figures: dict[str, Any] = {}
    with started("libtorrent_node", str(sources.port)) as process:
        known = threading.Event()
        answering = threading.Thread(target=answer_theirs, args=(sources, ids, known))
        answering.start()
        threading.Event().wait(6.0)
        known.set()
        answering.join()
        for method in ("ping", "find_node"):
            requests = [their_request(method, node_id, RNG.randbytes(20)) for node_id in ids]
            figures[method] = row(measure(process, sources, requests, their_good))
        sources.send(0, their_request("find_node", ids[0], RNG.randbytes(20)), ("127.0.0.1", process.port))
        sources.wait(1.0)
        heard = sources.receive()
        figures["contacts_in_an_answer"] = _contacts(heard[1]) if heard else 0
    return figures


def _contacts(data: bytes) -> int:
    _, _, rest = data.partition(b"5:nodes")
    length, _, _ = rest.partition(b":")
    return int(length) // 26 if length.isdigit() else 0


def served() -> dict[str, Any]:
    """Both in one run, and the ratio."""
    figures: dict[str, Any] = {"sources": SOURCES, "seconds": SECONDS, "runs": RUNS}
    for name, run in (("dhtshare", ours), ("bare", bare), ("libtorrent", theirs)):
        sources = Sources(SOURCES)
        try:
            figures[name] = run(sources)
        finally:
            sources.close()
    for method, goal in GOALS.items():
        mine, other = figures["dhtshare"][method], figures["libtorrent"][method]
        figures[f"{method}_per_cpu_second"] = at_least(mine["per_cpu_second"], goal)
        figures[f"{method}_of_libtorrent"] = round(mine["per_cpu_second"] / max(1, other["per_cpu_second"]), 2)
    return figures
