"""What is shared → records kept alive in every scope: lookups by region, batched stores, receipts, renewal.

Driver: the agenda decides when, the sweep whom, the tally what it came to. Owns no task; `run` is the work
of a node's life.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, Reply
from dhtshare.dht.records.agenda import Agenda, Shared
from dhtshare.dht.records.deliveries import Deliveries, ask, deliver
from dhtshare.dht.records.entry import Entry, Withdrawal, decode_record
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.receipts import KeyTally, Receipt, ReceiptTally
from dhtshare.dht.records.stores import Gone, Withdraw
from dhtshare.dht.records.sweep import Sweep

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.02  # shares that come close together go out together
GONE_SECONDS = 2.0
GONE_AT_ONCE = 32
OWN_TAG = b""

MakeEntry = Callable[[bytes], bytes | None]
"""Content hash → a freshly signed entry; None where the library no longer has it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes out in one round."""

    providers: Sequence[Shared]
    entries: Sequence[tuple[Shared, Entry]]


class Announcer:
    """Keeps the records of what is shared alive. `keep_due` persists when entries are due again."""

    def __init__(
        self,
        holdings: Sequence[Holding],
        *,
        network: bytes,
        agenda: Agenda,
        make_entry: MakeEntry,
        claim: Callable[[bool], ProviderClaim],
        wall: Callable[[], float],
        keep_due: Callable[[dict[bytes, float]], Awaitable[None]],
    ) -> None:
        self._holdings = holdings
        self._network = network
        self._agenda = agenda
        self._make_entry = make_entry
        self._claim = claim
        self._wall = wall
        self._keep_due = keep_due
        self._wake = asyncio.Event()
        self._waiting: dict[bytes, list[asyncio.Future[Receipt]]] = defaultdict(list)
        self._receipts: dict[bytes, Receipt] = {}
        self._holders: dict[Holding, set[Contact]] = {holding: set() for holding in holdings}
        self._few: dict[Holding, int] = dict.fromkeys(holdings, 0)
        for holding in holdings:
            holding.dht.on_joined.append(self._others_came)
            holding.dht.on_refresh.append(self._others_came)
            holding.dht.on_moved.append(self._moved)

    # ---- what is shared -------------------------------------------------------------------------

    def share(
        self, content_hash: bytes, words: Iterable[str] = (), *, partial: bool = False, entry_at: float | None = None
    ) -> None:
        """Announce this content now and for as long as it is shared."""
        self._receipts.pop(content_hash, None)
        self._agenda.share(content_hash, words, partial=partial, now=self._wall(), entry_at=entry_at)
        self._wake.set()

    def __len__(self) -> int:
        return len(self._agenda)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, content_hash: object) -> bool:
        return content_hash in self._agenda

    async def receipt(self, content_hash: bytes) -> Receipt:
        """What became of it: at once if it is known, else when the announcement under way is done."""
        known = self._receipts.get(content_hash)
        if known is not None:
            return known
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting[content_hash].append(future)
        return await future

    def receipts(self) -> dict[bytes, Receipt]:
        """The last receipt of each content that is shared."""
        return self._receipts

    # ---- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Announce what is due, for ever."""
        while True:
            self._wake.clear()
            providers, entries = self._agenda.due(self._wall())
            if providers or entries:
                await self._announce(providers, entries)
                continue
            due = self._agenda.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._wall())):
                    await self._wake.wait()
                    await asyncio.sleep(GATHER_SECONDS)
            except TimeoutError:
                continue

    async def _announce(self, providers: Sequence[Shared], entries: Sequence[Shared]) -> None:
        made: list[tuple[Shared, Entry]] = []
        for shared in entries:
            raw = self._make_entry(shared.content_hash)
            record = decode_record(raw) if raw is not None else None
            if isinstance(record, Entry):
                made.append((shared, record))
        batch = Batch(providers, made)
        tallies = {shared.content_hash: ReceiptTally() for shared in (*providers, *entries)}
        async with asyncio.TaskGroup() as group:
            for holding in self._holdings:
                group.create_task(self._announce_in(holding, batch, tallies))
        await self._settle(batch, entries, tallies)

    async def _settle(self, batch: Batch, entries: Sequence[Shared], tallies: dict[bytes, ReceiptTally]) -> None:
        """Receipts, next due times, and whoever waits."""
        now = self._wall()
        provided = {shared.content_hash: shared for shared in batch.providers}
        entered = {shared.content_hash: shared for shared in entries}
        due: dict[bytes, float] = {}
        for content_hash, tally in tallies.items():
            shared = entered.get(content_hash) or provided[content_hash]
            receipt = tally.receipt(0.0)
            self._agenda.announced(
                shared, now, provider=content_hash in provided, entry=content_hash in entered, quorum=receipt.quorum
            )
            receipt = tally.receipt(min(shared.provider_at, shared.entry_at or shared.provider_at))
            if content_hash in self._agenda:
                self._receipts[content_hash] = receipt
            if shared.entry_at is not None and content_hash in entered:
                due[content_hash] = shared.entry_at
            for future in self._waiting.pop(content_hash, ()):
                if not future.done():
                    future.set_result(receipt)
        if due:
            await self._keep_due(due)

    # ---- one scope ------------------------------------------------------------------------------

    async def _announce_in(self, holding: Holding, batch: Batch, tallies: dict[bytes, ReceiptTally]) -> None:
        scope = holding.dht.scope.value
        targets: dict[bytes, int] = {}
        wants: dict[bytes, list[tuple[Shared, Entry | None, int]]] = defaultdict(list)
        for shared in batch.providers:
            key = content_key(self._network, shared.content_hash)
            targets[key] = PROVIDER_TARGET
            wants[key].append((shared, None, 0))
            holding.own[key] = self._claim(shared.partial)
        for shared, made in batch.entries:
            for number, word in enumerate(made.words):
                key = keyword_key(self._network, word)
                targets.setdefault(key, ENTRY_TARGET)
                wants[key].append((shared, made, number))
                tallies[shared.content_hash].words[key] = word
            if holding.dht.contacts < ENTRY_TARGET:
                self._hold(holding, made)
        self._few[holding] = holding.dht.contacts
        holders = await self._holders_of(holding, targets)
        plans: dict[Contact, Deliveries] = defaultdict(Deliveries)
        noted: dict[tuple[bytes, bytes], KeyTally] = {}
        for key, items in wants.items():
            for shared, entry, number in items:
                tally = tallies[shared.content_hash].of(scope, key, targets[key])
                tally.servers = len(holders[key])
                noted[shared.content_hash, key] = tally
                for contact in holders[key]:
                    if entry is None:
                        plans[contact].add_provider(shared.content_hash, key, self._claim(shared.partial))
                    else:
                        plans[contact].add_entry(entry, number)
        self._holders[holding].update(plans)
        async with asyncio.TaskGroup() as group:
            for contact, plan in plans.items():
                group.create_task(deliver(holding, contact, plan, noted, self._network))

    async def _holders_of(self, holding: Holding, targets: dict[bytes, int]) -> dict[bytes, list[Contact]]:
        """The holders of every key, by as few lookups as the regions need."""
        if not holding.dht.contacts:
            return {key: [] for key in targets}
        sweep = Sweep(targets, PROVIDER_TARGET)
        holders: dict[bytes, list[Contact]] = {}
        while (target := sweep.next_target()) is not None:
            result = await holding.dht.walk(target, k=PROVIDER_TARGET)
            holders |= sweep.covered(target, result.closest, targets)
        return holders

    def _hold(self, holding: Holding, entry: Entry) -> None:
        """Be a holder of our own entry while too few others are known."""
        now = holding.dht.rpc.now()
        holding.store.put_entry(entry, range(len(entry.words)), OWN_TAG, now=now, wall=holding.record_wall())

    # ---- when others come -----------------------------------------------------------------------

    def _others_came(self) -> None:
        """Where we were among few, those who came since should hold our records, too."""
        grown = [
            holding for holding, known in self._few.items() if known < PROVIDER_TARGET and holding.dht.contacts > known
        ]
        if grown and len(self._agenda):
            for holding in grown:
                self._few[holding] = holding.dht.contacts
            self._agenda.all_due(self._wall())
            self._wake.set()

    def _moved(self) -> None:
        """Our address changed: provider records name the old one."""
        self._agenda.all_due(self._wall(), entries=False)
        self._wake.set()

    # ---- taking back ----------------------------------------------------------------------------

    async def unshare(self, content_hash: bytes, withdrawal: bytes | None) -> int:
        """Take a content's records back; how many holders acknowledged the withdrawal of a word."""
        shared = self._agenda.unshare(content_hash)
        self._receipts.pop(content_hash, None)
        for future in self._waiting.pop(content_hash, ()):
            future.cancel()
        words = shared.words if shared is not None else ()
        acks = await asyncio.gather(
            *(self._take_back(holding, content_hash, withdrawal, words) for holding in self._holdings)
        )
        return sum(acks)

    async def _take_back(
        self, holding: Holding, content_hash: bytes, withdrawal: bytes | None, words: Sequence[str]
    ) -> int:
        content = content_key(self._network, content_hash)
        holding.own.pop(content, None)
        keys = [keyword_key(self._network, word) for word in words] if withdrawal is not None else []
        holders = await self._holders_of(holding, dict.fromkeys(keys, ENTRY_TARGET) | {content: PROVIDER_TARGET})
        bodies: list[tuple[Contact, RecordMethod, Body]] = [
            (contact, RecordMethod.GONE, Gone((content,)).body()) for contact in holders[content]
        ]
        if withdrawal is not None:
            self._withdraw_here(holding, withdrawal, keys)
            by_holder: dict[Contact, list[bytes]] = defaultdict(list)
            for key in keys:
                for contact in holders[key]:
                    by_holder[contact].append(key)
            bodies += [
                (contact, RecordMethod.WITHDRAW, Withdraw(((withdrawal, tuple(some)),)).body())
                for contact, some in by_holder.items()
            ]
        replies = await asyncio.gather(*(ask(holding, *body) for body in bodies))
        return sum(
            _withdrawn(reply)
            for (_, method, _), reply in zip(bodies, replies, strict=True)
            if method is RecordMethod.WITHDRAW and reply is not None
        )

    def _withdraw_here(self, holding: Holding, withdrawal: bytes, keys: Sequence[bytes]) -> None:
        record = holding.verifier.check(withdrawal)
        if isinstance(record, Withdrawal):
            holding.store.withdraw(record, keys, now=holding.dht.rpc.now(), wall=holding.record_wall())

    async def leave(self) -> None:
        """A clean shutdown: one `gone` to each known holder, best effort within GONE_SECONDS (design.md, section 5)."""
        slots = asyncio.Semaphore(GONE_AT_ONCE)

        async def say(holding: Holding, contact: Contact) -> None:
            async with slots:
                await ask(holding, contact, RecordMethod.GONE, Gone().body())

        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                await asyncio.gather(
                    *(say(holding, contact) for holding, known in self._holders.items() for contact in known)
                )


def _withdrawn(reply: Reply) -> int:
    raw = reply.body.get(2)
    return raw.count(Verdict.STORED) if isinstance(raw, bytes) else 0
