"""What is shared → records kept alive in every scope: announced, renewed, and taken back. Driver.

The agenda decides when, a round does it, the tally says what it came to. `run` is the work of a node's
life and owns every task of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from dhtshare.content.keys import content_key
from dhtshare.dht.records.agenda import UNDER_WAY, Agenda, Due, Shared
from dhtshare.dht.records.entry import Entry, decode_record
from dhtshare.dht.records.going_out import GoingOut
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.receipt_book import ReceiptBook
from dhtshare.dht.records.receipts import KeyTally, Receipt, ReceiptTally
from dhtshare.dht.records.round import Round
from dhtshare.dht.records.signing_clock import SigningClock
from dhtshare.dht.records.withdrawals import MakeWithdrawal, Withdrawals

GATHER_SECONDS = 0.02  # shares that come close together go out together
COMPANY_SECONDS = 1.0  # while nobody else is there we look so often whether somebody came
ROUNDS_AT_ONCE = 4  # a new publish does not wait for the renewal of a library
_BREATH = 50  # entries signed before other work gets its turn; one takes about 0.1 ms
OWN_TAG = b""

MakeEntry = Callable[[bytes], bytes | None]
"""Content hash → a freshly signed entry; None where the library no longer has it."""


class Announcer:
    """Keeps the records of what is shared alive. `keep_due` persists when entries are due again, Unix seconds."""

    def __init__(
        self,
        holdings: Sequence[Holding],
        *,
        network: bytes,
        agenda: Agenda,
        make_entry: MakeEntry,
        make_withdrawal: MakeWithdrawal,
        claim: Callable[[bool], ProviderClaim],
        wall: Callable[[], float],
        keep_due: Callable[[dict[bytes, float]], Awaitable[None]],
    ) -> None:
        """`claim` says what a provider record tells of us, partial or whole. To be made on the running loop."""
        self._holdings = holdings
        self._network = network
        self._agenda = agenda
        self._make_entry = make_entry
        self._claim = claim
        self._wall = wall
        self._keep_due = keep_due
        self._now = asyncio.get_running_loop().time
        self._clock = SigningClock(holdings, wall, self._now)
        self._withdrawals = Withdrawals(holdings, network, make_withdrawal, self._clock)
        self._wake = asyncio.Event()
        self._receipts = ReceiptBook()
        self._company: dict[Holding, int] = dict.fromkeys(holdings, 0)  # contacts known at the last round
        self._going_out = GoingOut()
        for holding in holdings:
            holding.dht.on_joined.append(self._others_came)
            holding.dht.on_refresh.append(self._others_came)
            holding.dht.on_moved.append(self._providers_due)
            holding.dht.on_dialable.append(self._providers_due)
            holding.on_corrected.append(self._clock_was_wrong)
        if holdings:
            holdings[0].on_slept.append(self._slept)  # one machine sleeps once

    # ---- what is shared -------------------------------------------------------------------------

    def share(
        self, content_hash: bytes, words: Iterable[str] = (), *, partial: bool = False, entry_at: float | None = None
    ) -> None:
        """Announce this content now and for as long as it is shared.

        `entry_at`, Unix seconds: its entry is out there and not due before then, as `keep_due` was told.
        """
        now = self._now()
        due = None if entry_at is None else now + max(0.0, entry_at - self._wall())
        self._receipts.shared_anew(content_hash)
        self._agenda.share(content_hash, words, partial=partial, now=now, entry_at=due)
        self._wake.set()

    def __len__(self) -> int:
        return len(self._agenda)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, content_hash: object) -> bool:
        return content_hash in self._agenda

    async def receipt(self, content_hash: bytes) -> Receipt:
        """What became of it: at once if it is known, else when the announcement under way is done."""
        return await self._receipts.get(content_hash)

    def receipts(self) -> dict[bytes, Receipt]:
        """The last receipt of each content that is shared."""
        return self._receipts.all()

    # ---- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Announce what is due, for ever. May be run again after an error: then nothing is under way."""
        permits = asyncio.Semaphore(ROUNDS_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await permits.acquire()
                    due = await self._next()
                    group.create_task(self._announce(due, permits))
        finally:
            self._agenda.interrupted(self._now())

    async def _next(self) -> Due:
        while True:
            self._wake.clear()
            self._meet()
            due = self._agenda.take_due(self._now())
            if due:
                return due
            await self._rest()

    async def _rest(self) -> None:
        """Until something is due, or others came, or what is shared changed. The agenda may be long: one look."""
        at = self._agenda.next_due()
        while at is None or at > self._now():
            pause = UNDER_WAY if at is None else at - self._now()
            if at is not None and not all(self._company.values()):
                pause = min(pause, COMPANY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause if pause < UNDER_WAY else None):
                    await self._wake.wait()
                    await asyncio.sleep(GATHER_SECONDS)
            if self._wake.is_set() or self._met():
                return

    async def _announce(self, due: Due, permits: asyncio.Semaphore) -> None:
        try:
            due = self._agenda.still_shared(due)
            sign = self._withdrawals.sign
            renamed = [(shared, sign(shared.content_hash)) for shared in due.entries if shared.dropped]
            with self._going_out.noted(shared.content_hash for shared in (*due.providers, *due.entries)):
                tallies, rounds = await self._go_out(due)  # whose entries have higher sequence numbers
            async with asyncio.TaskGroup() as group:
                for shared, withdrawal in renamed:
                    group.create_task(self._withdraw_dropped(shared, withdrawal))
                for work in rounds:
                    group.create_task(work.read_back())
            await self._settle(due, tallies)
        finally:
            permits.release()
            self._wake.set()  # what went out has new due times

    async def _go_out(self, due: Due) -> tuple[dict[Shared, ReceiptTally], list[Round]]:
        """Offer everything to its holders.

        Twice where their answers showed that it was signed by a wrong clock: they refuse that, or keep it too short.
        """
        for last in (False, True):
            tallies = {shared: ReceiptTally() for shared in (*due.providers, *due.entries)}
            rounds = [Round(holding, self._network) for holding in self._holdings]
            signed_at = self._clock.wall_at_zero()
            entries = await self._made(due.entries)
            async with asyncio.TaskGroup() as group:
                for work in rounds:
                    group.create_task(self._offer(work, due.providers, entries, tallies))
            if last or not entries or not self._clock.corrected_since(signed_at):
                break
        return tallies, rounds

    async def _made(self, due: Sequence[Shared]) -> list[tuple[Shared, Entry]]:
        made: list[tuple[Shared, Entry]] = []
        for number, shared in enumerate(due):
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            raw = self._make_entry(shared.content_hash)
            record = decode_record(raw) if raw is not None else None
            if isinstance(record, Entry):
                made.append((shared, record))
        return made

    async def _offer(
        self,
        work: Round,
        providers: Sequence[Shared],
        entries: Sequence[tuple[Shared, Entry]],
        tallies: dict[Shared, ReceiptTally],
    ) -> None:
        holding = work.holding
        self._company[holding] = holding.dht.contacts
        if holding.dht.undialable:
            await self._withdrawals.providers(holding)
            for shared in providers:
                tallies[shared].unused += holding.dht.contacts
        else:
            self._provide(work, providers, tallies)
        entered: list[tuple[Entry, Sequence[KeyTally]]] = []
        for shared, entry in entries:
            entered.append((entry, work.enter(entry, tallies[shared], read_back=not shared.entry_seen.enough)))
            if holding.dht.contacts < ENTRY_TARGET:
                self._hold(holding, entry)
        await work.announce()
        for number, (entry, keys) in enumerate(entered):
            if any(key.acks < key.target for key in keys):  # most of those whom we know may be gone
                self._hold(holding, entry)
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
        self._withdrawals.provided(holding, work.provider_holders)

    def _provide(self, work: Round, providers: Iterable[Shared], tallies: dict[Shared, ReceiptTally]) -> None:
        for shared in providers:
            claim = self._claim(shared.partial)
            work.provide(shared.content_hash, claim, tallies[shared], read_back=not shared.provider_seen.enough)
            if shared.content_hash in self._agenda:
                work.holding.own[content_key(self._network, shared.content_hash)] = claim

    def _hold(self, holding: Holding, entry: Entry) -> None:
        """Be a holder of our own entry while too few others are known."""
        now, wall = holding.dht.rpc.now(), holding.record_wall()
        holding.store.put_entry(entry, range(len(entry.words)), OWN_TAG, now=now, wall=wall)

    async def _settle(self, due: Due, tallies: dict[Shared, ReceiptTally]) -> None:
        """Receipts, next due times, and whoever waits."""
        provided, entered = set(due.providers), set(due.entries)
        now, wall = self._now(), self._wall()
        kept: dict[bytes, float] = {}
        for shared, tally in tallies.items():
            shared.provider_seen = tally.see(shared.provider_seen, entry=False)
            shared.entry_seen = tally.see(shared.entry_seen, entry=True)
            outcome = tally.receipt(0.0)
            self._agenda.announced(
                shared, now, provider=shared in provided, entry=shared in entered, quorum=outcome.quorum
            )
            times = [at for at in (shared.provider_at, shared.entry_at) if at is not None]
            receipt = tally.receipt(wall + min(times) - now)
            if self._agenda.is_current(shared):  # else it was taken back since, or shared by other words
                whole = shared in provided and (shared.entry_at is None or shared in entered)
                verified = shared.provider_seen.keys + shared.entry_seen.keys
                self._receipts.put(shared.content_hash, receipt, whole=whole, verified=verified)
            if shared in entered and shared.entry_at is not None:
                kept[shared.content_hash] = wall + (0.0 if outcome.alone else shared.entry_at - now)
        if kept:
            await self._keep_due(kept)

    # ---- when others come -----------------------------------------------------------------------

    def _meet(self) -> None:
        """Where we were alone, everything goes out as soon as somebody is there."""
        met = self._met()
        for holding in met:
            self._company[holding] = holding.dht.contacts
        if met:
            self._agenda.all_due(self._now())

    def _met(self) -> list[Holding]:
        return [holding for holding, known in self._company.items() if not known and holding.dht.contacts]

    def _others_came(self) -> None:
        """Where we were among few, those who came since should name us as a provider; entries they pull."""
        for holding, known in self._company.items():
            if 0 < known < PROVIDER_TARGET and holding.dht.contacts > known:
                self._company[holding] = holding.dht.contacts
                self._agenda.all_due(self._now(), entries=False)
        self._wake.set()

    def _providers_due(self) -> None:
        """Our address changed, and provider records name the old one; or others can dial us now, or not any more."""
        self._agenda.all_due(self._now(), entries=False)
        self._wake.set()

    def _slept(self, seconds: float) -> None:
        self._agenda.elapsed(seconds)
        self._wake.set()

    def _clock_was_wrong(self) -> None:
        """When entries of an earlier life are due was read from a clock that is wrong."""
        self._agenda.entries_due(self._now())
        self._wake.set()

    # ---- taking back ----------------------------------------------------------------------------

    async def unshare(self, content_hash: bytes, words: Iterable[str] = ()) -> int:
        """Take a content's records back; how many copies of its entry holders withdrew.

        `words`: under which an earlier life shared it, where this one did not.
        """
        shared = self._agenda.unshare(content_hash)
        self._receipts.taken_back(content_hash)
        await self._going_out.ended(content_hash)
        known = (*shared.words, *shared.dropped) if shared is not None else tuple(words)
        return await self._withdrawals.content(content_hash, known)

    async def _withdraw_dropped(self, shared: Shared, withdrawal: bytes | None) -> None:
        """A content that goes by other words now is withdrawn from those that it lost."""
        words, shared.dropped = shared.dropped, ()
        await self._withdrawals.words(shared.content_hash, withdrawal, words)

    async def leave(self) -> None:
        """A clean shutdown: whoever keeps a provider record of ours is told."""
        await self._withdrawals.leave()
