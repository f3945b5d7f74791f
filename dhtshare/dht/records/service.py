"""Answers other nodes about records: the methods of this room on one scope's Rpc. Decides by its store alone.

Nothing here waits or sends. What an unproved asker gets is bounded by the Rpc; whatever changes the store
needs proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from dhtshare.content.keywords import keyword_key
from dhtshare.dht.messages import Answer, Body, Code, Failure, Handler, Request
from dhtshare.dht.rates import RateMeter, record_meter
from dhtshare.dht.records.copies import Pull, Survey, pulled_bodies
from dhtshare.dht.records.entry import Entry, Withdrawal, reread
from dhtshare.dht.records.finds import (
    PAGE_HEAD_BYTES,
    PART_HEAD_BYTES,
    FindEntries,
    FindProviders,
    entries_bodies,
    providers_body,
)
from dhtshare.dht.records.held import HeldWithdrawal, member
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ANSWER4_BYTES, ProviderClaim, answer, answered
from dhtshare.dht.records.rooms import fill, rooms
from dhtshare.dht.records.signed import place
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.records.stores import Check, CheckedEntry, Gone, StoreEntries, StoreProviders, Withdraw, verdicts_body
from dhtshare.dht.records.surveyor import Surveyor
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.wire import MAX_PARTS
from dhtshare.errors import MalformedError
from dhtshare.network import Address, Scope, ScopeRules, network_tag

GONE_COST = 500  # records; saying that everything is gone walks the whole store


class Answering(Protocol):
    """Where methods are answered; `Rpc` is one."""

    def handle(
        self, method: int, handler: Handler, *, with_contacts: bool = False, needs_proof: bool = False
    ) -> None: ...


class RecordService:
    """The holder's side of one scope. `now` gives monotonic seconds, `record_wall` the record clock's Unix seconds.

    `own`: what this node itself provides, by content key; answered with the address that the asker dialled, however
    many others are known: they may all be gone by now.
    """

    def __init__(
        self,
        *,
        network: bytes,
        scope: Scope,
        rules: ScopeRules,
        store: RecordStore,
        verifier: Verifier,
        own: Mapping[bytes, ProviderClaim],
        now: Callable[[], float],
        record_wall: Callable[[], float],
    ) -> None:
        self._network = network
        self._scope = scope
        self._rules = rules
        self._store = store
        self._verifier = verifier
        self._own = own
        self._now = now
        self._wall = record_wall
        self._surveyor = Surveyor(store)
        self._meter: RateMeter | None = None if scope is Scope.LAN else record_meter()

    def register(self, rpc: Answering) -> None:
        """Answer all methods of this room there."""
        rpc.handle(RecordMethod.FIND_PROVIDERS, self._find_providers, with_contacts=True)
        rpc.handle(RecordMethod.FIND_ENTRIES, self._find_entries, with_contacts=True)
        rpc.handle(RecordMethod.STORE_PROVIDERS, self._store_providers, needs_proof=True)
        rpc.handle(RecordMethod.STORE_ENTRIES, self._store_entries, needs_proof=True)
        rpc.handle(RecordMethod.WITHDRAW, self._withdraw, needs_proof=True)
        rpc.handle(RecordMethod.GONE, self._gone, needs_proof=True)
        rpc.handle(RecordMethod.CHECK, self._check, needs_proof=True)
        rpc.handle(RecordMethod.SURVEY, self._survey, needs_proof=True)
        rpc.handle(RecordMethod.PULL, self._pull, needs_proof=True)

    # ---- finds ---------------------------------------------------------------------------------

    def _find_providers(self, request: Request) -> Answer:
        asked = FindProviders.read(request.body)
        spaces = rooms(request, asked.parts, PART_HEAD_BYTES, PART_HEAD_BYTES)
        answers = self._own_answer(asked.key, request)
        for record in self._store.find_providers(asked.key, sum(spaces) // ANSWER4_BYTES, now=self._now()):
            host, raw = answered(record)
            if self._rules.may_name(host, request.sender.host):
                answers.append(raw)
        parts, _ = fill(answers, len, spaces)
        return [providers_body(part) for part in parts]

    def _own_answer(self, key: bytes, request: Request) -> list[bytes]:
        claim = self._own.get(key)
        dialled = request.dialled
        if claim is None or dialled is None:
            return []
        return [answer(dialled.host, claim)] if self._rules.may_name(dialled.host, request.sender.host) else []

    def _find_entries(self, request: Request) -> Answer:
        asked = FindEntries.read(request.body)
        spaces = rooms(request, asked.parts, PAGE_HEAD_BYTES, PART_HEAD_BYTES)
        page = self._store.find_entries(asked.key, asked.query, asked.cursor, spaces, now=self._now())
        return entries_bodies(page.digest, page.count, page.cursor, page.parts) if page.count else {}

    # ---- stores --------------------------------------------------------------------------------

    def _busy(self, sender: Address, cost: int) -> Failure | None:
        wait = self._meter.take(sender, self._now(), cost) if self._meter is not None else 0.0
        return Failure(Code.BUSY, math.ceil(wait)) if wait else None

    def _store_providers(self, request: Request) -> Answer:
        asked = StoreProviders.read(request.body)
        now = self._now()
        return self._busy(request.sender, len(asked.keys)) or verdicts_body(
            [self._store.put_provider(key, request.sender, asked.claim, now=now) for key in asked.keys]
        )

    def _store_entries(self, request: Request) -> Answer:
        asked = StoreEntries.read(request.body)
        busy = self._busy(request.sender, len(asked.items))
        if busy:
            return busy
        tag = network_tag(request.sender.host, self._scope)
        verdicts: list[Verdict] = []
        for raw, numbers in asked.items:
            verdicts += self._store_entry(raw, numbers, tag)
        return verdicts_body(verdicts)

    def _store_entry(self, raw: bytes, numbers: bytes, tag: bytes) -> list[Verdict]:
        try:
            record = self._verifier.check(raw)
        except MalformedError:
            return [Verdict.FORGED] * len(numbers)
        if not isinstance(record, Entry) or max(numbers) >= len(record.words):
            return [Verdict.FORGED] * len(numbers)
        return self._store.put_entry(record, numbers, tag, now=self._now(), wall=self._wall())

    def _withdraw(self, request: Request) -> Answer:
        asked = Withdraw.read(request.body)
        busy = self._busy(request.sender, len(asked.items))
        if busy:
            return busy
        verdicts: list[Verdict] = []
        for raw, keys in asked.items:
            try:
                record = self._verifier.check(raw)
            except MalformedError:
                record = None
            if isinstance(record, Withdrawal):
                verdicts += self._store.withdraw(record, keys, now=self._now(), wall=self._wall())
            else:
                verdicts += [Verdict.FORGED] * len(keys)
        return verdicts_body(verdicts)

    def _gone(self, request: Request) -> Answer:
        asked = Gone.read(request.body)
        cost = GONE_COST if asked.keys is None else len(asked.keys)
        return self._busy(request.sender, cost) or {2: self._store.providers.gone(request.sender, asked.keys)}

    def _check(self, request: Request) -> Answer:
        asked = Check.read(request.body)
        now = self._now()
        flags = [flag for one in asked.entries for flag in self._holds(asked.publisher, one, now)]
        flags += [self._store.providers.has(key, request.sender, now) for key in asked.keys]
        return cast(Body, {2: bytes(flags)})

    def _holds(self, publisher: bytes, one: CheckedEntry, now: float) -> list[bool]:
        where = place(one.content_hash, publisher)
        held = member(self._store.set_of(one.key), where)
        if held is None or isinstance(held, HeldWithdrawal) or held.deadline <= now:
            return [False] * len(one.numbers)
        words = cast(Entry, reread(held.raw)).words
        return [
            number < len(words) and member(self._store.set_of(keyword_key(self._network, words[number])), where) is held
            for number in one.numbers
        ]

    # ---- copies --------------------------------------------------------------------------------

    def _survey(self, request: Request) -> Answer:
        return list(self._surveyor.survey(Survey.read(request.body), MAX_PARTS, self._now()).bodies())

    def _pull(self, request: Request) -> Answer:
        spaces = rooms(request, MAX_PARTS, PART_HEAD_BYTES, PART_HEAD_BYTES)
        parts, more = self._surveyor.pull(Pull.read(request.body), spaces, self._now())
        return pulled_bodies(parts, more)
