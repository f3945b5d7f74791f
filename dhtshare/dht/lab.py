"""`dhtshare lab`: how well lookups do among many nodes, the real code in virtual time. Seeded.

A record is put on the 20 closest to its key while everybody is well. Then some nodes die, others are
replaced, and askers who know of none of it look for the records. Hostile nodes that aim at keys are there
before the records are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dhtshare.dht.contact import ID_BYTES, Contact
from dhtshare.dht.density import MIN_LOOKUPS
from dhtshare.dht.figures import Figures
from dhtshare.dht.messages import TARGET_KEY, Answer, NoAnswer, Refused, Reply, Request
from dhtshare.dht.population import Population
from dhtshare.dht.routing import K
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import MEDIAN_RTT_SECONDS, VirtualLoop, run_virtual
from dhtshare.dht.walk import Step

LARGEST_JOINED = 500  # beyond this tables are settled instead of joining one by one, which takes minutes
AIMED_KEYS = 4  # that hostile nodes crowd, each with nodes of its own
_BUILT, _PUBLISHED = 0.3, 0.5  # shares of the work, for who waits
_GET = 0x7F00
_PUT = 0x7F02
_HELD = 1


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong in a run. Shares are 0 to below 1 of the nodes, `loss` of the datagrams.

    `dead` nodes leave and nobody knows; `churn` leaves and is replaced; `liars` answer every question with
    their accomplices and hold nothing. `hostile` nodes from `networks` /24s crowd each of a few keys, which
    all lookups are then for.
    """

    dead: float = 0.0
    loss: float = 0.0
    churn: float = 0.0
    liars: float = 0.0
    hostile: int = 0
    networks: int = 2


NO_TROUBLE = Trouble()


class _Lab:
    def __init__(
        self, loop: VirtualLoop, rng: random.Random, trouble: Trouble, rtt: float, progress: Callable[[float], None]
    ) -> None:
        self._loop = loop
        self._rng = rng
        self._trouble = trouble
        self._progress = progress
        self._people = Population(loop, rng, loss=0.0, rtt=rtt)
        self.figures = Figures()

    @property
    def evicted_live(self) -> int:
        return self._people.evicted_live

    async def build(self, nodes: int) -> None:
        people = self._people
        for _ in range(nodes):
            self._serve(people.add())
        if nodes <= LARGEST_JOINED:
            await people.join_all(lambda share: self._progress(_BUILT * share))
        else:
            people.settle()
        for node in self._rng.sample(people.honest, round(nodes * self._trouble.liars)):
            people.turn(node)
        self._progress(_BUILT)

    async def draw_keys(self, lookups: int) -> list[bytes]:
        """One random key for each lookup to come; where hostile nodes aim at keys, few keys in turn."""
        trouble = self._trouble
        if not trouble.hostile:
            return [self._rng.randbytes(ID_BYTES) for _ in range(lookups)]
        aimed_at = [self._rng.randbytes(ID_BYTES) for _ in range(AIMED_KEYS)]
        for key in aimed_at:
            for node in await self._people.aim(key, trouble.hostile, trouble.networks):
                self._serve(node)
        return [aimed_at[number % AIMED_KEYS] for number in range(lookups)]

    async def publish(self, keys: Sequence[bytes]) -> None:
        """Put one record under each key."""
        for number, key in enumerate(dict.fromkeys(keys)):
            self._progress(_BUILT + (_PUBLISHED - _BUILT) * number / len(keys))
            publisher = self._rng.choice(self._people.honest)
            await self._live_a_little(publisher)
            result = await publisher.walk(key)
            for contact in result.closest:
                try:
                    await publisher.rpc.call(contact, _PUT, {TARGET_KEY: key}, prove=True)
                except (NoAnswer, Refused):
                    continue

    async def disturb(self) -> None:
        """Some die for good; others leave and as many new nodes join."""
        people, churn = self._people, self._trouble.churn
        people.network.loss = self._trouble.loss
        honest = people.honest
        gone = self._rng.sample(honest, min(len(honest) - 1, round(len(honest) * (self._trouble.dead + churn))))
        for node in gone:
            people.network.silence(people.contact(node).address)
        for _ in range(round(len(honest) * churn)):
            node = people.add()
            self._serve(node)
            await people.join_late(node)

    async def look_up(self, keys: Sequence[bytes]) -> None:
        askers: list[ScopeDht] = []
        for number, key in enumerate(keys):
            self._progress(_PUBLISHED + (1 - _PUBLISHED) * number / len(keys))
            if not askers:
                askers = self._rng.sample(self._people.honest, len(self._people.honest))
            asker = askers.pop()
            await self._live_a_little(asker)
            await self._look_up(asker, key)
        self._progress(1.0)

    async def _live_a_little(self, node: ScopeDht) -> None:
        """A few lookups of its own tell a node the network's size, which is what it knows an eclipse by."""
        if self._trouble.hostile:
            for _ in range(MIN_LOOKUPS):
                await node.walk(self._rng.randbytes(ID_BYTES))

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
        self.figures.done(result.seconds, result.asked, self._recall(key, asker, result.closest))
        self.figures.suspicious += result.suspicious
        if firsts:
            seconds, holder, requests = firsts[0]
            self.figures.found(seconds, hops[holder], requests)
        else:
            self.figures.silent += not result.suspicious

    def _recall(self, key: bytes, asker: ScopeDht, closest: Sequence[Contact]) -> float:
        """Which share of the true closest honest live nodes the walk came back with."""
        people = self._people
        others = (people.contact(node) for node in people.honest if node is not asker)
        true = sorted(others, key=lambda contact: contact.distance_to(key))[:K]
        farthest = max((contact.distance_to(key) for contact in closest), default=0)
        crowded = self._people.liars or self._people.aimed
        within = [contact for contact in true if contact.distance_to(key) <= farthest] if crowded else true
        return sum(contact in closest for contact in within) / len(within) if within else 1.0

    def _serve(self, node: ScopeDht) -> None:
        held: set[bytes] = set()
        people = self._people

        def get(request: Request) -> Answer:
            return {_HELD: True} if request.body[TARGET_KEY] in held and not people.is_hostile(node) else {}

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
    trouble: Trouble = NO_TROUBLE,
    seed: int = 1,
    rtt: float = MEDIAN_RTT_SECONDS,
    lookups: int = 200,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Measure `lookups` lookups; `rtt` is the median in seconds. Same seed, same figures.

    `first_ms`: until the first record; `complete_ms`: until all of the k closest were asked. `hops` and
    `requests_to_first` are means over the lookups that found, `requests` over all. `evicted_live` counts
    contacts that were thrown out of a table though they live. `progress` hears the share done, 0 to 1.
    """

    async def main(loop: VirtualLoop) -> dict[str, Any]:
        lab = _Lab(loop, random.Random(seed), trouble, rtt, progress)
        await lab.build(nodes)
        keys = await lab.draw_keys(lookups)
        await lab.publish(keys)
        await lab.disturb()
        await lab.look_up(keys)
        return {**lab.figures.summary(nodes=nodes, seed=seed), "evicted_live": lab.evicted_live}

    return run_virtual(main)
