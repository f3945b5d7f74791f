"""A node among nothing but hostile ones: what comes to it is noise, bent, replayed or a lie, as a request or an answer.

Three grounds. In virtual time the whole of a node that holds, publishes, searches and pulls meets a dozen liars whose
answers carry the right message id and address, for only such are looked at. On real sockets a node meets a flood from
many ports, and without any a flood in which each datagram has a source of its own. What must not happen: `faults`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Iterator

from dhtshare.content.keywords import content_key, keyword_key
from dhtshare.dht.compact import pack_address, pack_contacts
from dhtshare.dht.contact import UNKNOWN_ID, Contact
from dhtshare.dht.dht import Dht
from dhtshare.dht.messages import Body, Method
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.copies import Surveyed, pulled_bodies
from dhtshare.dht.records.finds import entries_bodies, providers_body
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim, answer
from dhtshare.dht.records.stores import verdicts_body
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.simulation import EPOCH, VirtualLoop, run_virtual
from dhtshare.dht.sockets import UdpTransport
from dhtshare.dht.wire import (
    HEADER_BYTES,
    MAX_DATAGRAM_BYTES,
    RequestMessage,
    ResponseMessage,
    decode_response,
    encode_request,
    encode_response,
    message_id,
    unpack,
)
from dhtshare.errors import MalformedError, NetworkError
from dhtshare.network import Address, Scope, ScopeRules
from tests.fuzz.mutate import mutations
from tests.sim.records_network import NETWORK, Person, RecordsNetwork, content
from tests.unit.records.records_fakes import entry, withdrawal
from tests.unit.records.test_bodies import REQUESTS

LIARS = 12
WORD = "musica"
WORD_KEY = keyword_key(NETWORK, WORD)
METHODS = {
    "FindProviders": RecordMethod.FIND_PROVIDERS,
    "FindEntries": RecordMethod.FIND_ENTRIES,
    "StoreProviders": RecordMethod.STORE_PROVIDERS,
    "StoreEntries": RecordMethod.STORE_ENTRIES,
    "Withdraw": RecordMethod.WITHDRAW,
    "Gone": RecordMethod.GONE,
    "Check": RecordMethod.CHECK,
    "Survey": RecordMethod.SURVEY,
    "Pull": RecordMethod.PULL,
}


def _bodies() -> list[tuple[int, Body]]:
    """A well-formed body of every method."""
    core: list[tuple[int, Body]] = [
        (Method.PING, {}),
        (Method.FIND_NODE, {2: WORD_KEY}),
        (Method.PROBE, {2: 4470, 4: bytes(20)}),
        (Method.RELAY, {2: pack_address(Address("127.0.0.1", 4470)), 4: bytes(20)}),
        (Method.PROBED, {2: bytes(20), 4: True}),
    ]
    return core + [(METHODS[type(request).__name__], request.body()) for request in REQUESTS]


def _answers() -> list[Body]:
    """Well-formed answers to all of them; a liar gives any to any."""
    signed = [entry(number).raw for number in range(3)]
    digest = b"d" * 16
    bodies: list[Body] = [{}]
    bodies += [providers_body([answer("10.0.0.9", ProviderClaim(5000, b"peerpeer"))] * 3)]
    for size in (len(digest), 20, 32):
        bodies += entries_bodies(bytes(size), 3, b"", [signed[:2]])
    bodies += entries_bodies(digest, 1000, bytes(64), [signed[:1]])
    bodies += [verdicts_body([verdict] * 2) for verdict in Verdict]
    bodies += Surveyed(((WORD_KEY, bytes(8)), (content_key(NETWORK, content(1)), bytes(8)))).bodies()
    bodies += [*Surveyed(same=True).bodies(), *Surveyed(many=True).bodies()]
    bodies += pulled_bodies([[(0, signed[0], b"tag"), (1, withdrawal().raw, b"")]], more=True)
    bodies += [{2: b"\xff\xff"}, {2: b"", 8: []}, {4: 1 << 31}]
    return bodies


class Liar:
    """Makes requests and answers; most are bent, so that each check of the decoders is met by somebody."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.tokens: dict[object, bytes] = {}
        self._bodies, self._answers = _bodies(), _answers()
        self._bent_requests = self._bent([self._request(b"t" * 8) for _ in range(60)])
        self._bent_answers = self._bent([self._answer(rng.randbytes(20), ()) for _ in range(60)])

    def _bent(self, seeds: list[bytes]) -> Iterator[bytes]:
        """Bent payloads, without the header, which stays true."""
        return mutations([seed[HEADER_BYTES:] for seed in seeds], self.rng)

    def request(self, token: bytes) -> bytes:
        """Something that looks like a request; every third one is well-formed, with a token that may be good."""
        kind = self.rng.randrange(10)
        if kind < 4:
            return self._request(token)
        if kind < 8:
            payload = next(self._bent_requests).replace(b"t" * 8, token or b"t" * 8)
            return (NETWORK + b"\0" + self.rng.randbytes(20) + payload)[: MAX_DATAGRAM_BYTES + 50]
        if kind < 9:
            return (NETWORK + bytes((self.rng.randrange(4),)) + self.rng.randbytes(20) + next(self._bent_answers))[
                :1300
            ]
        return self.rng.randbytes(self.rng.randrange(1400))

    def answer(self, request: bytes, node_id: bytes, others: tuple[Contact, ...]) -> list[bytes]:
        """What goes back for a request of ours: true header, and some truth, a bent one, or several parts at odds."""
        kind = self.rng.randrange(10)
        header = NETWORK + b"\1" + message_id(request)
        if kind < 4:
            whole = self._answer(node_id, others)
            return [header + whole[HEADER_BYTES:]]
        if kind < 8:
            return [(header + next(self._bent_answers))[: MAX_DATAGRAM_BYTES + 50]]
        if kind < 9:
            parts = [self._answer(node_id, (), parts=self.rng.randint(2, 16)) for _ in range(5)]
            return [header + part[HEADER_BYTES:] for part in parts]
        return []

    def _request(self, token: bytes) -> bytes:
        method, body = self.rng.choice(self._bodies)
        if self.rng.random() < 0.05:
            method = self.rng.randrange(65536)
        client = self.rng.random() < 0.5
        message = RequestMessage(method, self.rng.randbytes(20), body, client, token, Address("10.0.0.1", 4470))
        try:
            return encode_request(NETWORK, self.rng.randbytes(20), message)
        except ValueError:  # with padding it would be too long
            return encode_request(NETWORK, bytes(20), RequestMessage(Method.PING, bytes(20), {}))

    def _answer(self, node_id: bytes, others: tuple[Contact, ...], parts: int = 1) -> bytes:
        body = self.rng.choice(self._answers)
        code = self.rng.choice((0, 0, 0, 0, 0, 0, 0, 1, 3, 4, 5, 99))
        part = self.rng.randrange(parts)
        named = pack_contacts(self.rng.sample(others, min(len(others), 8)))[0] if others else b""
        message = ResponseMessage(
            node_id,
            body,
            code,
            self.rng.randrange(100) if code else 0,
            self.rng.randbytes(8),
            b"" if part else named,
            b"",
            Address("10.0.0.1", 4470),
            int(EPOCH) + self.rng.randrange(-90_000, 90_000),
            part,
            parts,
        )
        try:
            return encode_response(NETWORK, bytes(20), message)
        except ValueError:
            return encode_response(NETWORK, bytes(20), ResponseMessage(node_id, {}))


class Ground:
    """What both grounds count. `faults`: what the loop's own handler heard, and errors that were no news of a peer."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.requests = 0
        self.answers = 0

    @property
    def datagrams(self) -> int:
        return self.requests + self.answers

    def hear(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")


async def _quiet(ground: Ground, work: object) -> None:
    """Await it. News of the network is no fault, all else is."""
    try:
        await work  # type: ignore[misc]
    except (NetworkError, MalformedError):
        return
    except Exception as error:  # whatever else comes out is what this looks for
        ground.faults.append(f"{type(error).__name__}: {error}")


def among_liars(count: int, seed: int = 1) -> Ground:
    """A node with its records among liars, in virtual time, until it took so many datagrams."""
    ground = Ground()

    async def main(loop: VirtualLoop) -> None:
        loop.set_exception_handler(ground.hear)
        net = RecordsNetwork(loop, seed=seed)
        rng = random.Random(seed)
        liar = Liar(rng)
        async with net.living():
            victim = await net.add()
            honest = await net.add()
            contacts = tuple(Contact(rng.randbytes(20), Address(f"10.7.0.{n}", 4470)) for n in range(1, LIARS + 1))
            transports = {contact: _join(net, ground, liar, victim, contact, contacts) for contact in contacts}
            number = 0
            while ground.datagrams < count:
                for contact in contacts:
                    victim.dht.table.answered(contact, loop.time())  # they came in somehow, and come again
                    transport = transports[contact]
                    for _ in range(15):
                        ground.requests += 1
                        transport.sendto(liar.request(liar.tokens.get(contact, b"")), victim.address)
                number += 1
                victim.share(number % 50, (WORD, f"w{number % 20}"))
                work = (
                    victim.dht.walk(rng.randbytes(20)),
                    victim.search(WORD),
                    victim.providers(content(number % 50)),
                    victim.dht.ping(Contact(UNKNOWN_ID, rng.choice(contacts).address)),
                    victim.puller.pull(),
                )
                await asyncio.gather(*(_quiet(ground, one) for one in work))
            for contact in contacts:
                net.datagrams.silence(contact.address)
            await asyncio.sleep(60)
            await _still_there(ground, victim, honest, net)

    run_virtual(main)
    return ground


def _join(
    net: RecordsNetwork, ground: Ground, liar: Liar, victim: Person, contact: Contact, others: tuple[Contact, ...]
) -> object:
    def receive(data: bytes, sender: Address) -> None:
        if data[4] == 1:
            try:
                liar.tokens[contact] = decode_response(data).token or liar.tokens.get(contact, b"")
            except MalformedError as error:
                ground.faults.append(f"the node itself said something malformed: {error}")
        elif data[4] == 0 and sender == victim.address:
            for datagram in liar.answer(data, contact.node_id, others):
                ground.answers += 1
                transport.sendto(datagram, sender)

    transport = net.datagrams.attach(contact.address, receive)
    return transport


async def _still_there(ground: Ground, victim: Person, honest: Person, net: RecordsNetwork) -> None:
    """An honest neighbour asks, publishes and is found, as if nothing had been."""
    reply = await honest.dht.ping(net.contact(victim))
    if reply.node_id != victim.dht.node_id:
        ground.faults.append("the node is another one now")
    if victim.dht.rpc._calls:
        await asyncio.sleep(60)
    honest.share(4711, ("afterwards",))
    await honest.announcer.receipt(content(4711))
    found = await victim.search("afterwards")
    if [one.entry.content_hash for one in found] != [content(4711)]:
        ground.faults.append("nothing can be published at the node any more")


# ---- forged sources ------------------------------------------------------------------------------


class _Nowhere:
    """A transport to nobody: forged sources get their answers somewhere else."""

    def sendto(self, data: bytes, address: Address) -> None:
        assert len(data) <= MAX_DATAGRAM_BYTES

    def close(self) -> None: ...


def forged_sources(count: int, seed: int = 1) -> Ground:
    """Requests that each come, it seems, from another address of the world, of either family, under another id."""
    ground = Ground()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(ground.hear)
        rng = random.Random(seed)
        liar = Liar(rng)
        dht = Dht(NETWORK, ScopeRules(), rng, lambda: EPOCH, reachable="yes")
        dht.attach(_Nowhere(), ["0.0.0.0", "::"])
        while ground.requests < count:
            ground.requests += 1
            four = rng.random() < 0.5
            bits = (0x20 << 24) | rng.getrandbits(29) if four else (0x2A << 120) | rng.getrandbits(119)
            host = str(ipaddress.IPv4Address(bits) if four else ipaddress.IPv6Address(bits))
            dht.datagram_received(liar.request(rng.randbytes(8)), Address(host, rng.randrange(1024, 65536)))
        if any(scope.contacts for scope in dht.scopes.values()):
            ground.faults.append("a forged source is in the table")
        await dht.stop()

    asyncio.run(main())
    return ground


# ---- real sockets --------------------------------------------------------------------------------

PORTS = 32
BATCH = 64


def on_sockets(count: int, seed: int = 1) -> Ground:
    """A node on a real socket under a flood from many ports, until so many went out to it."""
    ground = Ground()
    asyncio.run(_flood(ground, count, random.Random(seed)))
    return ground


async def _flood(ground: Ground, count: int, rng: random.Random) -> None:
    asyncio.get_running_loop().set_exception_handler(ground.hear)
    victim, place = await _listening(rng)
    liar = Liar(rng)
    senders: list[UdpTransport] = []

    def receiver(index: int) -> object:
        def receive(data: bytes, sender: Address) -> None:
            if data[4] == 1:
                liar.tokens[index] = decode_response(data).token or liar.tokens.get(index, b"")
            elif data[4] == 0:
                for datagram in liar.answer(data, rng.randbytes(20), ()):
                    ground.answers += 1
                    senders[index].sendto(datagram, sender)

        return receive

    for index in range(PORTS):
        senders.append(UdpTransport([_udp()], receiver(index)))  # type: ignore[arg-type]
    rpc = victim.scopes[Scope.LAN].rpc
    try:
        while ground.datagrams < count:
            for index, sender in enumerate(senders):
                for _ in range(BATCH // 8):
                    ground.requests += 1
                    sender.sendto(liar.request(liar.tokens.get(index, b"")), place)
            for _ in range(BATCH // 8):
                await asyncio.sleep(0)  # a wake-up reads 64 at most
        await _until_quiet(rpc.counters.as_dict)
        if rpc.counters.datagrams_in < 0.9 * ground.datagrams:
            ground.faults.append(f"only {rpc.counters.datagrams_in} of {ground.datagrams} were taken")
        honest, _ = await _listening(rng)
        for _ in range(5):
            await honest.scopes[Scope.LAN].ping(Contact(UNKNOWN_ID, place))
        await honest.stop()
    except (NetworkError, MalformedError) as error:
        ground.faults.append(f"the socket is dead: {error}")
    finally:
        for sender in senders:
            sender.close()
        await victim.stop()


def _udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


async def _listening(rng: random.Random) -> tuple[Dht, Address]:
    """A node with a place for records, on a port of its own."""
    rules, sock = ScopeRules(), _udp()
    place = Address(*sock.getsockname())
    dht = Dht(NETWORK, rules, rng, lambda: EPOCH)
    await dht.start([sock])
    Holding(
        dht.scopes[Scope.LAN],
        network=NETWORK,
        rules=rules,
        rng=rng,
        wall=lambda: EPOCH,
        verifier=Verifier(NETWORK),
        budget=Budget(),
    )
    return dht, place


async def _until_quiet(count: object) -> None:
    """Until nothing more comes in."""
    before: object = None
    while before != (now := count()):  # type: ignore[operator]
        before = now
        await asyncio.sleep(0.2)


def well_formed(data: bytes) -> bool:
    """Whether a datagram's payload is MessagePack: for the test that the liars are neither all true nor all noise."""
    try:
        unpack(data[HEADER_BYTES:])
    except MalformedError:
        return False
    return True
