"""Drives one lookup over an Rpc: the only place where the walk towards a key meets the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dhtshare.dht.answers import WrongId
from dhtshare.dht.calls import Call, Listener
from dhtshare.dht.contact import Contact
from dhtshare.dht.lookup import Lookup
from dhtshare.dht.messages import TARGET_KEY, Body, Method, Refused, Reply
from dhtshare.dht.routing import K, Table
from dhtshare.dht.rpc import Rpc
from dhtshare.errors import MalformedError, NetworkError
from dhtshare.network import Scope

PATHS = 2
PATIENT_PATHS = 8  # before a walk says that nothing is there


class Walker(Protocol):
    """What a walk needs of a scope; `ScopeDht` is one."""

    @property
    def scope(self) -> Scope: ...
    @property
    def node_id(self) -> bytes: ...
    @property
    def rpc(self) -> Rpc: ...
    @property
    def table(self) -> Table: ...
    def suspicious(self, target: bytes, closest: Sequence[Contact]) -> bool:
        """Whether these are nearer to the target than the size of the network makes likely."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a trace. `outcome`: answered, refused, lied, malformed, late, timed out.

    `seconds` from the start of the walk, `took` from the question on; `path` counts from 0.
    """

    contact: Contact
    hops: int
    outcome: str
    seconds: float
    took: float
    path: int


@dataclass(slots=True)
class WalkResult:
    """What a walk came to.

    `closest`: live contacts that answered under their own ids, closest first, within the diversity rule.
    `complete` is False where a path ran out of requests, or the first find was enough. `suspicious`: the region is
    denser than the network's size allows, a sign of an eclipse. `seconds` of the whole walk; `hops` to the closest.
    """

    target: bytes
    closest: list[Contact] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    failed: int = 0
    lied: int = 0
    complete: bool = False
    suspicious: bool = False
    hops: int = 0
    seconds: float = 0.0


class _Walk:
    def __init__(
        self,
        walker: Walker,
        lookup: Lookup,
        method: int,
        body: Body,
        on_reply: Callable[[Contact, Reply], None] | None,
        until: Callable[[], bool] | None,
        trace: Callable[[Step], None] | None,
    ) -> None:
        self._rpc = walker.rpc
        self._lookup = lookup
        self._method = method
        self._body = body
        self._on_reply = on_reply
        self._until = until
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._calls: dict[Contact, Call] = {}
        self._asked_at: dict[Contact, float] = {}
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._pumping = False
        self.stopped = False  # early: what it was for was found
        self.result = WalkResult(lookup.target)

    async def run(self) -> None:
        """Until the lookup is done. Calls to late contacts that it does not wait for go on: it may need them yet."""
        if self.stopped:
            return
        self._over = self._loop.create_future()
        self._pump()
        await self._over

    def close(self) -> None:
        """Take back every question that is still open."""
        for call in self._calls.values():
            self._rpc.cancel(call)
        self._calls.clear()

    async def look_behind(self) -> None:
        """Where some of the closest are dead, find those who take their places."""
        while not self.stopped and (questions := self._lookup.behind()):
            self.result.asked += len(questions)
            await self._ask_behind(questions)
            await self.run()

    async def _ask_behind(self, questions: Sequence[tuple[Contact, bytes]]) -> None:
        """Until each of them was answered or is late."""
        awaited = set(questions)
        over: asyncio.Future[None] = self._loop.create_future()
        calls: list[Call | None] = []

        def ended(question: tuple[Contact, bytes]) -> None:
            awaited.discard(question)
            if not awaited and not over.done():
                over.set_result(None)

        def ask(question: tuple[Contact, bytes]) -> None:
            contact, other = question

            def replied(reply: Reply) -> None:
                self._lookup.named(contact, reply.contacts)
                ended(question)

            listener = Listener(replied, lambda _error: ended(question), lambda: ended(question))
            calls.append(self._rpc.start(contact, Method.FIND_NODE, {TARGET_KEY: other}, listener))

        for question in questions:
            ask(question)
        try:
            await over
        finally:
            for call in calls:
                if call is not None:
                    self._rpc.cancel(call)

    def finish(self) -> WalkResult:
        result = self.result
        result.closest = self._lookup.closest()
        result.asked += self._lookup.requests
        result.complete = not (self._lookup.truncated or self.stopped)
        result.hops = self._lookup.hops(result.closest[0]) if result.closest else 0
        result.seconds = self._loop.time() - self._began
        return result

    def _pump(self) -> None:
        if self._pumping:
            return  # a call that failed at once; the outer pump goes on
        self._pumping = True
        try:
            while requests := self._lookup.next_requests():
                for contact in requests:
                    self._ask(contact)
        finally:
            self._pumping = False
        if self._lookup.done and not self._over.done():
            self._over.set_result(None)

    def _ask(self, contact: Contact) -> None:
        listener = Listener(
            lambda reply: self._replied(contact, reply),
            lambda error: self._failed(contact, error),
            lambda: self._late(contact),
        )
        self._asked_at[contact] = self._loop.time()
        body = {**self._body, TARGET_KEY: self._lookup.question(contact)}
        call = self._rpc.start(contact, self._method, body, listener)
        if call is not None:
            self._calls[contact] = call

    def _replied(self, contact: Contact, reply: Reply) -> None:
        self._calls.pop(contact, None)
        try:
            if self._on_reply is not None:
                self._on_reply(contact, reply)
        except MalformedError:
            self.result.lied += 1
            self._note(contact, "malformed")
            self._lookup.failed(contact)
        else:
            self.result.answered += 1
            self._note(contact, "answered")
            self._lookup.answered(contact, reply.contacts)
        if self._until is not None and self._until():
            self._stop()
        else:
            self._pump()

    def _stop(self) -> None:
        self.stopped = True
        self.close()
        if not self._over.done():
            self._over.set_result(None)

    def _failed(self, contact: Contact, error: NetworkError) -> None:
        self._calls.pop(contact, None)
        if isinstance(error, Refused):
            self._note(contact, "refused")
        elif isinstance(error, WrongId):
            self.result.lied += 1
            self._note(contact, "lied")
        else:
            self.result.failed += 1
            self._note(contact, "timed out")
        self._lookup.failed(contact)
        self._pump()

    def _late(self, contact: Contact) -> None:
        self._note(contact, "late")
        self._lookup.late(contact)
        self._pump()

    def _note(self, contact: Contact, outcome: str) -> None:
        if self._trace is not None:
            now, lookup = self._loop.time(), self._lookup
            took = now - self._asked_at[contact]
            self._trace(Step(contact, lookup.hops(contact), outcome, now - self._began, took, lookup.path(contact)))


async def walk(
    walker: Walker,
    target: bytes,
    *,
    method: int = Method.FIND_NODE,
    body: Body | None = None,
    on_reply: Callable[[Contact, Reply], None] | None = None,
    found: Callable[[], bool] | None = None,
    k: int = K,
    paths: int = PATHS,
    seeds: Sequence[Contact] = (),
    stop_when_found: bool = False,
    around: int = 0,
    trace: Callable[[Step], None] | None = None,
) -> WalkResult:
    """Walk to the k closest live nodes to `target`, asking each on the way for `method`.

    `on_reply` hears every answer as it comes; it may raise MalformedError for a body that is none, which
    costs the responder its place. `found`, if given, is asked when the paths are done: as long as it says
    no, more paths (eight in all) are tried from other contacts; with `stop_when_found` it is asked after every
    answer, too, and ends the walk, which is not complete then. The method must be one that answers with contacts.
    `seeds` are tried beside the closest of our table. `around`: also to everybody up to that distance, by FIND_NODE
    alone. Where the closest look like an eclipse the walk goes on to twice as many nodes, on one path more.
    """
    known = walker.table.nearest(target, k)
    lookup = Lookup(target, walker.node_id, [*known, *seeds], scope=walker.scope, k=k, paths=paths, around=around)
    driver = _Walk(walker, lookup, method, body or {}, on_reply, found if stop_when_found else None, trace)
    try:
        await driver.run()
        await driver.look_behind()
        if found is not None and not found():
            more = walker.table.nearest(target, 4 * k)
            if lookup.add_paths(more, PATIENT_PATHS - paths):
                await driver.run()
        if not driver.stopped and walker.suspicious(target, lookup.closest()):
            driver.result.suspicious = True
            lookup.widen(2 * k)
            lookup.add_paths(walker.table.nearest(target, 4 * k), 1)
            await driver.run()
    finally:
        driver.close()
    if not driver.stopped:
        walker.table.refreshed(target, asyncio.get_running_loop().time())
    return driver.finish()
