"""Spam and a lying holder against the whole story of a search: found, probed, ranked. In virtual time.

Peers confirm over a TCP that is as quick as the datagrams; whom a searcher may ask, how often, and what it makes of
the answers is the real code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

from dhtshare.content.format import Kind
from dhtshare.content.keywords import keyword_key
from dhtshare.dht.contact import distance
from dhtshare.dht.messages import Answer, Request
from dhtshare.dht.records.entry import sign_entry
from dhtshare.dht.records.finds import FindEntries, entries_bodies
from dhtshare.dht.records.limits import ENTRY_TTL
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.paging import CURSOR_BYTES
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.errors import NetworkError, NotFoundError
from dhtshare.finding import Finder
from dhtshare.identity import SigningKey
from dhtshare.network import Scope
from dhtshare.node import Node
from dhtshare.providers import Lead
from dhtshare.search import SearchRequest, search
from dhtshare.transfer.asking import PeerHas
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.dials import Attempts
from tests.sim.records_network import NETWORK, Person, RecordsNetwork, content

WORD = "popular"
NODES = 32
HONEST = 10
SPAM = 500
SPAM_HOSTS = {  # where the spam comes from
    Scope.IPV4: [f"93.184.216.{10 + number}" for number in range(4)],  # of one /24; more would not be dialled anyway
    Scope.LAN: ["10.9.9.9"],
}
FIRST = 20
TCP_SECONDS = 0.16  # two round trips


async def searched(net: RecordsNetwork, person: Person) -> dict[int, int | None]:
    """What `dhtshare search` shows this person, best first: the number of a content, and how many confirmed it."""
    found = await search(cast(Node, _node(net, person)), SearchRequest([WORD]), lambda _event: None)
    return {int(row["hash"], 16): row["providers"] for row in found["results"]}


def _node(net: RecordsNetwork, person: Person) -> SimpleNamespace:
    async def leads(content_hash: bytes) -> AsyncIterator[Lead]:
        for provider in await person.providers(content_hash):
            yield Lead(provider.address, provider.peer, told_by=provider.told_by)

    async def nothing(*_arguments: Any, **_options: Any) -> None:
        return

    return SimpleNamespace(
        require_contacts=nothing,
        records=SimpleNamespace(search=lambda query: person.searching(*query.words, limit=query.limit)),
        finder=Finder(leads, cast(Any, _Peers(net)), net.rules, list),
        own_network=lambda _content_hash: None,
        catalogue=SimpleNamespace(run=nothing, save_search=None),
        link=lambda content_hash, _name, _size, with_peer: content_hash.hex(),
    )


class _Peers:
    """Everybody's TCP port: who shares a content says so."""

    def __init__(self, net: RecordsNetwork) -> None:
        self._people = {person.address.host: person for person in net.people}
        self._connected: set[str] = set()

    async def ask_have(self, peer: PeerAddress, content_hash: bytes, *, timeout: float, attempts: Attempts) -> PeerHas:
        address = peer.address
        if address.host not in self._connected and not attempts.begin(address):
            raise NetworkError("asked often enough")
        await asyncio.sleep(TCP_SECONDS)
        self._connected.add(address.host)
        if content_hash not in self._people[address.host].announcer:
            raise NotFoundError("not here")
        return PeerHas(address, "file", 1, 1, 0)


async def _published(people: Sequence[Person], numbers: Sequence[int]) -> None:
    """Each content by one of these in turn."""
    sharing = [(people[at % len(people)], number) for at, number in enumerate(numbers)]
    for person, number in sharing:
        person.share(number, (WORD,))
    for person, number in sharing:
        await person.announcer.receipt(content(number))


def spam_rule(seed: int, searches: int = 10, scope: Scope = Scope.IPV4) -> dict[str, Any]:
    """500 entries of 500 keys and a few machines of one /24, which confirm each, against 10 of as many networks.

    In the LAN scope the spam comes from one address, and the honest ones from 10 addresses.

    `buried`: for each search how many of the 10 were not among the first 20; `last_place`: where the last of them is.
    """

    async def main(loop: VirtualLoop) -> dict[str, Any]:
        net = RecordsNetwork(loop, scope=scope, seed=seed, rtt=0.08)
        async with net.living():
            net.settle(NODES)
            spammers = [await net.add(host=host, pulls=False) for host in SPAM_HOSTS[scope]]
            spam = range(10_000, 10_000 + SPAM)
            for number in spam:
                for spammer in spammers:
                    spammer.other_keys[content(number)] = SigningKey.from_seed(number.to_bytes(32, "big"))
            await _published(spammers, spam)
            honest = range(1, 1 + HONEST)
            await _published(net.people[:HONEST], honest)
            results = [
                await searched(net, net.people[HONEST + number % (NODES - HONEST)]) for number in range(searches)
            ]
        return {
            "buried": [len(set(honest) - set(list(result)[:FIRST])) for result in results],
            "last_place": [max(at for at, n in enumerate(result, 1) if n in honest) for result in results],
            "confirmed_spam": [sum(bool(result[n]) for n in result if n not in honest) for result in results],
        }

    return run_virtual(main)


def lying_holder(seed: int, searches: int = 5, titles: int = 60) -> dict[str, Any]:
    """The closest node to the word answers before all others with junk, page after page for ever.

    Each junk entry has a key of its own and is confirmed by the liar. `honest`: how many of the hits shown are not
    the liar's, `confirmed_junk` how many of the liar's were asked about.
    """

    async def main(loop: VirtualLoop) -> dict[str, Any]:
        net = RecordsNetwork(loop, scope=Scope.IPV4, seed=seed, rtt=0.08)
        async with net.living():
            net.settle(NODES)
            key = keyword_key(NETWORK, WORD)
            liar = min(net.people, key=lambda person: distance(person.dht.node_id, key))
            honest = [person for person in net.people if person is not liar]
            await _published(honest[:6], range(1, 1 + titles))
            net.datagrams._places[liar.address] = -9.0  # next door to everybody
            junk = [_junk(liar, number) for number in range(10_000, 10_000 + SPAM)]
            liar.dht.rpc.handle(RecordMethod.FIND_ENTRIES, _told_for_ever(junk), with_contacts=True)
            for number in range(10_000, 10_000 + SPAM):
                liar.announcer.share(content(number))
            await liar.announcer.receipt(content(10_000))
            results = [await searched(net, person) for person in honest[6 : 6 + searches]]
        return {
            "shown": [len(result) for result in results],
            "honest": [sum(number <= titles for number in result) for result in results],
            "confirmed_junk": [sum(bool(result[n]) for n in result if n > titles) for result in results],
        }

    return run_virtual(main)


def _junk(liar: Person, number: int) -> bytes:
    return sign_entry(
        SigningKey.from_seed(number.to_bytes(32, "big")),
        NETWORK,
        content_hash=content(number),
        sequence=1 << 41,
        expires=int(liar.wall() + ENTRY_TTL),
        kind=Kind.FILE,
        size=1,
        name="j",
        words=(WORD,),
    )


def _told_for_ever(junk: Sequence[bytes]) -> Any:
    def answer(request: Request) -> Answer:
        asked = FindEntries.read(request.body)
        page = int.from_bytes(asked.cursor[:4], "big") if asked.cursor else 0
        per_part = 5
        some = [junk[(16 * per_part * page + at) % len(junk)] for at in range(16 * per_part)]
        parts = [some[at : at + per_part] for at in range(0, len(some), per_part)][: 2 if not asked.cursor else 16]
        cursor = (page + 1).to_bytes(4, "big") + bytes(CURSOR_BYTES - 4)
        return list(entries_bodies(bytes(16), len(junk), cursor, parts))

    return answer
