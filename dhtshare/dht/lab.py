"""`dhtshare lab`: how well lookups do among many nodes, the real code in virtual time. Seeded.

A record is put on the 20 closest to its key while everybody is well. Then some nodes die, others are
replaced, and askers who know of none of it look for the records.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import TARGET_KEY, Answer, NoAnswer, Refused, Reply, Request
from dhtshare.dht.population import Population
from dhtshare.dht.routing import K
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import MEDIAN_RTT_SECONDS, VirtualLoop, run_virtual
from dhtshare.dht.walk import Step

LARGEST_JOINED = 500  # beyond this tables are settled instead of joining one by one, which takes minutes
_GET = 0x7F00
_PUT = 0x7F02
_HELD = 1


@dataclass(slots=True)
class _Figures:
    first: list[float] = field(default_factory=list)
    complete: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    requests_to_first: list[int] = field(default_factory=list)
    hops: list[int] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    lost: int = 0
    suspicious: int = 0


class _Lab:
    def __init__(self, loop: VirtualLoop, rng: random.Random, *, loss: float, rtt: float) -> None:
        self._loop = loop
        self._rng = rng
        self._loss = loss
        self._people = Population(loop, rng, loss=0.0, rtt=rtt)
        self.figures = _Figures()

    async def build(self, nodes: int, liars: float) -> None:
        people = self._people
        for _ in range(nodes):
            self._serve(people.add())
        if nodes <= LARGEST_JOINED:
            await people.join_all()
        else:
            people.settle()
        for node in self._rng.sample(people.honest, round(nodes * liars)):
            people.turn(node)

    async def publish(self, lookups: int) -> list[bytes]:
        """Put one record for each lookup to come."""
        keys = [self._rng.randbytes(20) for _ in range(lookups)]
        for key in keys:
            publisher = self._rng.choice(self._people.honest)
            result = await publisher.walk(key)
            for contact in result.closest:
                try:
                    await publisher.rpc.call(contact, _PUT, {TARGET_KEY: key}, prove=True)
                except (NoAnswer, Refused):
                    continue
        return keys

    async def disturb(self, dead: float, churn: float) -> None:
        """Some die for good; others leave and as many new nodes join."""
        people = self._people
        people.network.loss = self._loss
        honest = people.honest
        gone = self._rng.sample(honest, round(len(honest) * (dead + churn)))
        for node in gone:
            people.network.silence(people.contact(node).address)
        for _ in range(round(len(honest) * churn)):
            node = people.add()
            self._serve(node)
            await people.join_late(node)

    async def look_up(self, keys: Sequence[bytes]) -> None:
        askers: list[ScopeDht] = []
        for key in keys:
            if not askers:
                askers = self._rng.sample(self._people.honest, len(self._people.honest))
            await self._look_up(askers.pop(), key)

    async def _look_up(self, asker: ScopeDht, key: bytes) -> None:
        began = self._loop.time()
        firsts: list[tuple[float, Contact, int]] = []
        calls = asker.rpc.counters

        def replied(contact: Contact, reply: Reply) -> None:
            if reply.body.get(_HELD) is True and not firsts:
                firsts.append((self._loop.time() - began, contact, calls.calls - asked_before))

        asked_before = calls.calls
        hops: dict[Contact, int] = {}

        def noted(step: Step) -> None:
            hops[step.contact] = step.hops

        result = await asker.walk(
            key,
            method=_GET,
            on_reply=replied,
            found=lambda: bool(firsts),
            trace=noted,
        )
        figures = self.figures
        figures.complete.append(result.seconds)
        figures.requests.append(result.asked)
        figures.recall.append(self._recall(key, asker, result.closest))
        figures.suspicious += result.suspicious
        if firsts:
            figures.first.append(firsts[0][0])
            figures.requests_to_first.append(firsts[0][2])
            figures.hops.append(hops[firsts[0][1]])
        else:
            figures.lost += 1

    def _recall(self, key: bytes, asker: ScopeDht, closest: Sequence[Contact]) -> float:
        """Which share of the true closest honest live nodes the walk came back with."""
        people = self._people
        others = (people.contact(node) for node in people.honest if node is not asker)
        true = sorted(others, key=lambda contact: contact.distance_to(key))[:K]
        farthest = max((contact.distance_to(key) for contact in closest), default=0)
        within = [contact for contact in true if contact.distance_to(key) <= farthest] if self._people.liars else true
        return sum(contact in closest for contact in within) / len(within) if within else 1.0

    def _serve(self, node: ScopeDht) -> None:
        held: set[bytes] = set()
        people = self._people

        def get(request: Request) -> Answer:
            lying = people.contact(node) in people.liars
            return {_HELD: True} if request.body[TARGET_KEY] in held and not lying else {}

        def put(request: Request) -> Answer:
            key = request.body.get(TARGET_KEY)
            if isinstance(key, bytes):
                held.add(key)
            return {}

        node.rpc.handle(_GET, get, with_contacts=True)
        node.rpc.handle(_PUT, put, needs_proof=True)


def run_lab(
    *,
    nodes: int = 500,
    dead: float = 0.0,
    loss: float = 0.0,
    churn: float = 0.0,
    liars: float = 0.0,
    seed: int = 1,
    rtt: float = MEDIAN_RTT_SECONDS,
    lookups: int = 200,
) -> dict[str, Any]:
    """Measure `lookups` lookups. Shares are 0 to 1, `rtt` is the median in seconds. Same seed, same figures.

    `first_ms`: until the first record; `complete_ms`: until all of the k closest were asked. `hops` and
    `requests_to_first` are means over the lookups that found, `requests` over all.
    """

    async def main(loop: VirtualLoop) -> dict[str, Any]:
        rng = random.Random(seed)
        lab = _Lab(loop, rng, loss=loss, rtt=rtt)
        await lab.build(nodes, liars)
        keys = await lab.publish(lookups)
        await lab.disturb(dead, churn)
        await lab.look_up(keys)
        return _summary(lab.figures, nodes=nodes, seed=seed, lookups=lookups)

    return run_virtual(main)


def _summary(figures: _Figures, *, nodes: int, seed: int, lookups: int) -> dict[str, Any]:
    return {
        "nodes": nodes,
        "seed": seed,
        "lookups": lookups,
        "success": round(len(figures.first) / lookups, 5),
        "hops": _mean(figures.hops),
        "requests": _mean(figures.requests),
        "requests_to_first": _mean(figures.requests_to_first),
        "recall": _mean(figures.recall),
        "suspicious": figures.suspicious,
        "first_ms": _percentiles(figures.first),
        "complete_ms": _percentiles(figures.complete),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 4) if values else None


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Nearest-rank percentiles in milliseconds."""
    ordered = sorted(seconds)
    return {
        name: round(ordered[math.ceil(share * len(ordered)) - 1] * 1000, 1) if ordered else None
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
