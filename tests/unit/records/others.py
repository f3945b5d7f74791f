"""A holding whose contacts answer as a test says: decisions of the record layer in virtual time, no datagram made."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from dhtshare.dht.contact import Contact
from dhtshare.dht.external import ExternalAddress
from dhtshare.dht.messages import Body, Failure, Handler, Method, NoAnswer, Refused, Reply, Request
from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.service import RecordService
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.dht.walk import Step, WalkResult
from dhtshare.errors import NetworkError
from dhtshare.network import Address, Scope, ScopeRules
from tests.unit.records.records_fakes import NETWORK, WALL, store

ROOM = 1100  # bytes of a body in one datagram
RTT = 0.02
Answering = Callable[[int, Body], "Body | list[Body] | Reply | Failure"]
"""What a contact makes of a method and its body; it may also raise NoAnswer or Refused."""


class Others:
    """One holding, and whom it knows.

    `asked` is every call made: when, of whom, the method and its body. `walked` is every walk's target and method.
    """

    def __init__(self, loop: VirtualLoop, scope: Scope = Scope.LAN, seed: int = 1) -> None:
        self.loop = loop
        self.rng = random.Random(seed)
        self.answers: dict[Contact, Answering] = {}
        self.asked: list[tuple[float, Contact, int, Body]] = []
        self.walked: list[tuple[bytes, int]] = []
        self.suspicious = False
        self.under_way = self.most_under_way = 0
        rules = ScopeRules()
        self.dht = ScopeDht(
            scope,
            network=NETWORK,
            rules=rules,
            rng=self.rng,
            wall=self.wall,
            external=None if scope is Scope.LAN else ExternalAddress("93.184.216.34"),
        )
        self.dht.become(client=False)
        self.dht.rpc.call = self._call  # type: ignore[method-assign,assignment]
        self.dht.walk = self._walk  # type: ignore[method-assign,assignment]
        self.holding = Holding(
            self.dht,
            network=NETWORK,
            rules=rules,
            rng=self.rng,
            wall=self.wall,
            verifier=Verifier(NETWORK),
            budget=Budget(),
        )

    def wall(self) -> float:
        return WALL + self.loop.time()

    def know(self, answering: Answering, host: str | None = None) -> Contact:
        """One more contact that answers so."""
        number = len(self.answers)
        if self.dht.scope is Scope.LAN:
            address = Address(host or f"10.0.{number >> 8}.{number & 255}", 4470)
            contact = Contact(self.rng.randbytes(20), address)
        else:
            address = Address(host or f"81.{number}.7.7", 4470)
            contact = Contact(bound_id(address.host, self.rng), address)
        self.answers[contact] = answering
        self.dht.table.answered(contact, self.loop.time())  # which has no room for many far away
        return contact

    def holder(self, host: str | None = None) -> Holder:
        """One more contact, which is a holder as the real ones are."""
        holder = Holder(self)
        holder.contact = self.know(holder.answer, host)
        return holder

    def calls(self, method: int) -> list[tuple[Contact, Body]]:
        return [(contact, body) for _, contact, asked, body in self.asked if asked == method]

    async def _call(self, contact: Contact, method: int, body: Body, *, prove: bool = False) -> Reply:
        self.asked.append((self.loop.time(), contact, method, body))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(RTT)
            return self._reply(contact, method, body)
        finally:
            self.under_way -= 1

    def _reply(self, contact: Contact, method: int, body: Body) -> Reply:
        answer = self.answers[contact](method, body)
        if isinstance(answer, Failure):
            raise Refused(answer.code, answer.retry_after)
        if isinstance(answer, Reply):
            return answer
        parts = tuple(answer) if isinstance(answer, list) else (answer,)
        return Reply(contact.node_id, contact.address, parts, (), None, int(self.wall()), RTT, True)

    async def _walk(
        self,
        target: bytes,
        *,
        method: int = Method.FIND_NODE,
        body: Body | None = None,
        on_reply: Callable[[Contact, Reply], None] | None = None,
        k: int = 20,
        around: int = 0,
        found: Callable[[], bool] | None = None,
        stop_when_found: bool = False,
        trace: Callable[[Step], None] | None = None,
        **_options: Any,
    ) -> WalkResult:
        """Everybody is asked; those who answer are found."""
        self.walked.append((target, method))
        closest: list[Contact] = []
        for contact in sorted(self.answers, key=lambda contact: contact.distance_to(target)):
            await asyncio.sleep(RTT)
            if trace is not None:
                trace(Step(contact, 1, "answered", 0.0, RTT, 0))
            try:
                reply = self._reply(contact, method, body or {})
            except NetworkError:
                continue
            closest.append(contact)
            if on_reply is not None:
                on_reply(contact, reply)
            if stop_when_found and found is not None and found():
                break
        wanted = max(k, sum(contact.distance_to(target) <= around for contact in closest))
        return WalkResult(target, closest[:wanted], complete=True, suspicious=self.suspicious)


class Holder:
    """A contact with a store of its own behind the real service."""

    contact: Contact

    def __init__(self, others: Others) -> None:
        self.others = others
        self.store = store(others.dht.scope)
        self._handlers: dict[int, Handler] = {}
        RecordService(
            network=NETWORK,
            scope=others.dht.scope,
            rules=ScopeRules(),
            store=self.store,
            verifier=Verifier(NETWORK),
            own={},
            now=others.loop.time,
            record_wall=others.wall,
        ).register(self)

    def handle(self, method: int, handler: Handler, *, with_contacts: bool = False, needs_proof: bool = False) -> None:
        self._handlers[method] = handler

    def answer(self, method: int, body: Body) -> Any:
        if method not in self._handlers:
            return {}
        sender = Address("93.184.216.34" if self.others.dht.scope is not Scope.LAN else "10.9.9.9", 4470)
        return self._handlers[method](
            Request(body, sender, bytes(20), True, False, None, self.others.dht.scope, ROOM, ROOM)
        )


def silent(_method: int, _body: Body) -> Body:
    """A contact that is dead, though the table does not know it."""
    raise NoAnswer("nobody")


def tell(story: Callable[[Others], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a story in virtual time; nothing is left running."""

    async def main(loop: VirtualLoop) -> None:
        await story(Others(loop, **options))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
