"""Records among liars, crowds, forgers and clocks that jump."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dhtshare.content.keywords import content_key, keyword_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Answer, Request
from dhtshare.dht.records.finds import FindEntries, entries_bodies
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.paging import CURSOR_BYTES, digest
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.saved import encode_records, restore_records
from dhtshare.dht.records.stores import Gone, StoreEntries, StoreProviders, read_verdicts
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.identity import SigningKey
from dhtshare.network import Scope
from tests.sim.records_network import NETWORK, Person, RecordsNetwork, content

Story = Callable[[RecordsNetwork], Coroutine[Any, Any, None]]


def tell(story: Story, **options: Any) -> None:
    async def main(loop: VirtualLoop) -> None:
        net = RecordsNetwork(loop, **options)
        async with net.living():
            await story(net)

    run_virtual(main)


def contact(person: Person) -> Contact:
    return Contact(person.dht.node_id, person.address)


def test_holders_that_lie_about_their_sets_hide_nothing() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(7, pulls=False)
        for number in range(100):
            net.people[1].share(number, ("musica",))
        await net.people[1].announcer.receipt(content(99))
        honest = digest(net.people[2].holding.store.set_of(keyword_key(NETWORK, "musica")))

        def empty_but_equal(request: Request) -> Answer:
            """Claims the honest set, shows nothing of it, and says that this is the end."""
            asked = FindEntries.read(request.body)
            return entries_bodies(honest, 100, b"" if asked.cursor else b"\0" * CURSOR_BYTES, [[]])

        def forged_for_ever(request: Request) -> Answer:
            asked = FindEntries.read(request.body)
            page = int.from_bytes(asked.cursor[:4], "big") + 1 if asked.cursor else 1
            raw = bytes(64) + net.people[1].make_entry(content(1))[64:]  # type: ignore[index]
            return entries_bodies(bytes(16), 9, page.to_bytes(4, "big") + bytes(CURSOR_BYTES - 4), [[raw]])

        for liar, lie in ((3, empty_but_equal), (4, empty_but_equal), (5, forged_for_ever)):
            net.people[liar].dht.rpc.handle(RecordMethod.FIND_ENTRIES, lie, with_contacts=True)
        searcher = await net.add(pulls=False)
        found = await searcher.search("musica")
        assert len(found) == 100

    tell(story)


def test_what_strangers_store_or_take_back_changes_nothing() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4, pulls=False)
        publisher, hostile, holder = net.people[1], net.people[2], net.people[3]
        publisher.share(7, ("musica",))
        await publisher.announcer.receipt(content(7))
        old = publisher.make_entry(content(7))
        publisher.share(7, ("musica", "nova"))
        await publisher.announcer.receipt(content(7))
        assert old is not None
        rpc = hostile.dht.rpc
        forged = bytes(64) + old[64:]
        body = StoreEntries(((old, b"\0"), (forged, b"\0"), (old[:-1], b"\0"))).body()
        reply = await rpc.call(contact(holder), RecordMethod.STORE_ENTRIES, body, prove=True)
        assert [verdict.name for verdict in read_verdicts(reply.body, 3)] == ["STALE", "FORGED", "FORGED"]
        await rpc.call(contact(holder), RecordMethod.GONE, Gone().body(), prove=True)
        (found,) = await hostile.search("nova", "musica")
        assert found.entry.words == ("musica", "nova")
        assert len(await hostile.providers(content(7))) == 1

    tell(story)


def test_a_provider_record_names_nobody_but_its_sender() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4, pulls=False)
        hostile = net.people[2]
        key = content_key(NETWORK, content(7))
        for person in net.people:
            if person is not hostile:
                body = StoreProviders((key,), ProviderClaim(80, b"somebody")).body()
                await hostile.dht.rpc.call(contact(person), RecordMethod.STORE_PROVIDERS, body, prove=True)
        found = await net.people[0].providers(content(7))
        assert [provider.address.host for provider in found] == [hostile.address.host]

    tell(story)


def test_a_clock_that_jumps_a_day_drops_nothing_and_makes_no_storm() -> None:
    for jump in (86_400.0, -86_400.0):

        async def story(net: RecordsNetwork, jump: float = jump) -> None:
            await net.add(5)
            publisher, holder = net.people[1], net.people[3]
            for number in range(20):
                publisher.share(number, ("musica",))
            await publisher.announcer.receipt(content(19))
            await asyncio.sleep(60)
            before, held = publisher.dht.rpc.counters.calls, holder.holding.store.counts()
            publisher.clock_error = holder.clock_error = jump
            await asyncio.sleep(600)
            assert holder.holding.store.counts() == held
            assert publisher.dht.rpc.counters.calls == before
            await asyncio.sleep(13 * 3600)  # a renewal later, by the holders' time
            assert len(await net.people[4].search("musica")) == 20
            assert publisher.holding.clock.wrong

        tell(story)


def test_500_entries_of_500_keys_from_one_machine_bury_nobody() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(5, pulls=False)
        spammer = net.people[1]
        for number in range(500):
            spammer.key = SigningKey.from_seed((10_000 + number).to_bytes(32, "big"))
            spammer.share(number, ("musica", "popular"))
            await spammer.announcer.receipt(content(number))
        for number in (2, 3):
            net.people[number].share(5000 + number, ("musica", "popular"))
            await net.people[number].announcer.receipt(content(5000 + number))
        searcher = await net.add(pulls=False)
        found = [int.from_bytes(one.entry.content_hash, "big") for one in await searcher.search("popular", "musica")]
        assert len(found) == 502
        assert {5002, 5003} <= set(found[:40])

    tell(story)


def test_a_publisher_that_outlived_all_whom_it_knows_is_found_through_itself() -> None:
    """Thirty came and went; whoever comes next knows nobody but the publisher, whose table is full of the dead."""

    async def story(net: RecordsNetwork) -> None:
        publisher = await net.add()
        publisher.share(7, ("musica",))
        await publisher.announcer.receipt(content(7))
        await net.add(30)
        for person in net.people[1:]:
            net.remove(person)
        assert publisher.dht.contacts >= 20
        publisher.share(8, ("musica",))
        await publisher.announcer.receipt(content(8))
        newcomer = await net.add()
        assert publisher.address.host in {provider.address.host for provider in await newcomer.providers(content(7))}
        assert {found.entry.content_hash for found in await newcomer.search("musica")} == {content(7), content(8)}

    tell(story)


def test_a_restarted_holder_still_has_what_it_held() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4, pulls=False)
        net.people[1].share(7, ("musica",))
        await net.people[1].announcer.receipt(content(7))
        old, new = net.people[3], await net.add(pulls=False)
        raw = encode_records(NETWORK, {Scope.LAN: old.holding.store}, now=net.loop.time(), wall=old.wall())
        restore_records(raw, NETWORK, {Scope.LAN: new.holding.store}, now=net.loop.time(), wall=new.wall())
        for person in net.people[:4]:
            person.die()
        searcher = await net.add(joins=False, pulls=False)
        await net.join(searcher)
        assert len(await searcher.search("musica")) == 1
        assert len(await searcher.providers(content(7))) == 1

    tell(story)
