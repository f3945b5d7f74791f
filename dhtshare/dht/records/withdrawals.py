"""Takes back what was announced, in every scope: one content, words that it lost, or all that we provide. Driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.deliveries import ask
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.signing_clock import SigningClock
from dhtshare.dht.records.stores import Gone
from dhtshare.dht.records.taking_back import TakingBack

AT_ONCE = 8  # contents
GONE_SECONDS = 2.0
GONE_AT_ONCE = 64

MakeWithdrawal = Callable[[bytes], bytes | None]
"""Content hash → a freshly signed withdrawal."""


class Withdrawals:
    """Knows who keeps provider records of ours, as far as `provided` was told."""

    def __init__(
        self, holdings: Sequence[Holding], network: bytes, make_withdrawal: MakeWithdrawal, clock: SigningClock
    ) -> None:
        self._holdings = holdings
        self._network = network
        self._make_withdrawal = make_withdrawal
        self._clock = clock
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._provided: dict[Holding, set[Contact]] = {holding: set() for holding in holdings}

    def provided(self, holding: Holding, holders: Iterable[Contact]) -> None:
        """These took a provider record of ours."""
        self._provided[holding] |= set(holders)

    def sign(self, content_hash: bytes) -> bytes | None:
        """A withdrawal of all that was published of this content until now."""
        return self._make_withdrawal(content_hash)

    async def content(self, content_hash: bytes, words: Sequence[str]) -> int:
        """Take a content back, and its entry from these words; how many copies of that were withdrawn.

        Signed anew, once, where the answers show that it was done by a wrong clock.
        """
        async with self._slots:
            for last in (False, True):
                signed_at = self._clock.wall_at_zero()
                withdrawal = self.sign(content_hash) if words else None
                acks = await self._everywhere(content_hash, withdrawal, words, provider=True)
                if last or withdrawal is None or not self._clock.corrected_since(signed_at):
                    break
        return acks

    async def words(self, content_hash: bytes, withdrawal: bytes | None, words: Sequence[str]) -> None:
        """Take the entry back from words that it lost; the content is still shared."""
        async with self._slots:
            await self._everywhere(content_hash, withdrawal, words, provider=False)

    async def _everywhere(
        self, content_hash: bytes, withdrawal: bytes | None, words: Sequence[str], *, provider: bool
    ) -> int:
        work = (
            TakingBack(holding, self._network, content_hash, withdrawal, words, provider=provider).run()
            for holding in self._holdings
        )
        return sum(await asyncio.gather(*work))

    async def providers(self, holding: Holding) -> None:
        """Nothing is provided in this scope any more: one `gone` to each known holder."""
        holding.own.clear()
        known, self._provided[holding] = self._provided[holding], set()
        slots = asyncio.Semaphore(GONE_AT_ONCE)

        async def say(contact: Contact) -> None:
            async with slots:
                await ask(holding, contact, RecordMethod.GONE, Gone().body())

        await asyncio.gather(*map(say, known))

    async def leave(self) -> None:
        """A clean shutdown: the same in all scopes, best effort within GONE_SECONDS (design.md, section 5)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                await asyncio.gather(*map(self.providers, self._holdings))
