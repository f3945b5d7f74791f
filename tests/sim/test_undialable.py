"""Who cannot be dialled announces no provider record that nobody could use, and does once a port is forwarded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from dhtshare.content.format import Kind
from dhtshare.content.keys import content_key, keyword_key
from dhtshare.dht.records.agenda import Agenda
from dhtshare.dht.records.announcer import Announcer
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.entry import sign_entry, sign_withdrawal
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TTL
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.simulation import EPOCH, VirtualLoop, run_virtual
from dhtshare.identity import SigningKey
from tests.sim.internet import NETWORK, PORT, Host, Internet, seconds_until

CONTENT = b"c" * 32
KEY = SigningKey.from_seed(b"k" * 32)


class Publisher:
    """A node that shares one content, and the servers that may hold its records."""

    def __init__(self, internet: Internet, host: Host, servers: list[Host]) -> None:
        self._internet = internet
        self._holdings = [self._holding(server) for server in servers]
        self.host = host
        self._sequence = 1 << 41
        self.announcer = Announcer(
            [self._holding(host)],
            network=NETWORK,
            agenda=Agenda(random.Random(1)),
            make_entry=self._entry,
            make_withdrawal=self._withdrawal,
            claim=lambda partial: ProviderClaim(PORT, KEY.public[:8], partial),
            wall=self._wall,
            keep_due=self._keep_due,
        )

    def held(self) -> tuple[int, int]:
        """At how many servers the provider record is, and the entry."""
        now = self._internet.loop.time()
        content, word = content_key(NETWORK, CONTENT), keyword_key(NETWORK, "walrus")
        return (
            sum(holding.store.providers.has(content, self.host.address, now) for holding in self._holdings),
            sum(bool(holding.store.set_of(word)) for holding in self._holdings),
        )

    def _holding(self, host: Host) -> Holding:
        return Holding(
            host.scope,
            network=NETWORK,
            rules=self._internet.rules,
            rng=random.Random(1),
            wall=self._wall,
            verifier=Verifier(NETWORK),
            budget=Budget(),
        )

    def _wall(self) -> float:
        return EPOCH + self._internet.loop.time()

    async def _keep_due(self, _due: dict[bytes, float]) -> None:
        return

    def _entry(self, content_hash: bytes) -> bytes:
        self._sequence += 1
        return sign_entry(
            KEY,
            NETWORK,
            content_hash=content_hash,
            sequence=self._sequence,
            expires=int(self._wall() + ENTRY_TTL),
            kind=Kind.FILE,
            size=7,
            name="walrus",
            words=("walrus",),
        )

    def _withdrawal(self, content_hash: bytes) -> bytes:
        self._sequence += 1
        expires = int(self._wall() + ENTRY_TTL)
        return sign_withdrawal(KEY, NETWORK, content_hash=content_hash, sequence=self._sequence, expires=expires)


def tell(story: Callable[[Internet, Publisher], Awaitable[None]], **options: object) -> None:
    async def main(loop: VirtualLoop) -> None:
        async with Internet(loop).running() as internet:
            servers = await internet.grow(24, resting=False)
            host = await internet.join(*servers[:3], **options)
            publisher = Publisher(internet, host, servers)
            task = asyncio.create_task(publisher.announcer.run())
            await story(internet, publisher)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_virtual(main)


def test_who_cannot_be_dialled_takes_its_provider_records_back_and_announces_when_it_can() -> None:
    async def story(internet: Internet, publisher: Publisher) -> None:
        publisher.announcer.share(CONTENT, ("walrus",))
        receipt = await publisher.announcer.receipt(CONTENT)
        assert receipt.keys == 2, "nobody has tried yet whether it can be dialled"
        await seconds_until(internet, lambda: publisher.host.scope.undialable, 60)
        await seconds_until(internet, lambda: publisher.held() == (0, 10), 10)
        publisher.announcer.share(CONTENT, ("walrus",))
        receipt = await publisher.announcer.receipt(CONTENT)
        assert (receipt.keys, receipt.acks, receipt.verified) == (1, 10, 1)
        assert (receipt.quorum, receipt.alone, receipt.read_back) == (True, False, True)
        internet.datagrams.natted.discard(publisher.host.address.host)  # the user forwards the port
        await seconds_until(internet, lambda: publisher.held()[0] >= 15, 2400)

    tell(story, natted=True)


def test_what_has_no_words_is_then_not_announced_at_all_and_that_is_no_failure() -> None:
    async def story(internet: Internet, publisher: Publisher) -> None:
        await seconds_until(internet, lambda: publisher.host.scope.undialable, 60)
        publisher.announcer.share(CONTENT)
        receipt = await publisher.announcer.receipt(CONTENT)
        assert (receipt.keys, receipt.quorum, receipt.alone, receipt.read_back) == (0, True, False, True)
        assert publisher.held() == (0, 0)

    tell(story, natted=True)


def test_who_can_be_dialled_goes_on() -> None:
    async def story(internet: Internet, publisher: Publisher) -> None:
        publisher.announcer.share(CONTENT, ("walrus",))
        await publisher.announcer.receipt(CONTENT)
        await seconds_until(internet, lambda: publisher.host.scope.dialable is True, 60)
        await asyncio.sleep(1200.0)
        assert publisher.held()[0] >= 15

    tell(story)


def test_the_user_knows_better() -> None:
    """`--reachable yes` announces whatever the probes say, `no` announces nothing to the world from the start."""

    async def yes(internet: Internet, publisher: Publisher) -> None:
        await seconds_until(internet, lambda: publisher.host.scope.dialable is False, 60)
        publisher.announcer.share(CONTENT, ())
        assert (await publisher.announcer.receipt(CONTENT)).keys == 1

    async def no(_internet: Internet, publisher: Publisher) -> None:
        publisher.announcer.share(CONTENT, ("walrus",))
        assert (await publisher.announcer.receipt(CONTENT)).keys == 1
        assert publisher.held() == (0, 10)

    tell(yes, natted=True, reachable="yes")
    tell(no, natted=True, reachable="no")
