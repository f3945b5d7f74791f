"""Can the world reach us? Nodes find out for each other, and only then is a node named to others.

A node that wants to know sends PROBE with its TCP port and a nonce, proved, to a few contacts. Each asks
one contact of its own in another /16 to send the nonce, 25 bytes, to the asker's address, dials the TCP
port itself, and says in PROBED whether that worked. A nonce from an address that the asker never wrote to
shows that UDP gets in. Per address one such favour in 10 minutes, given and relayed.

Bodies: PROBE 2 TCP port (0: none) · 4 nonce (20). RELAY 2 address · 4 nonce. PROBED 2 nonce · 4 TCP reached.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

from dhtshare.dht.compact import pack_address, unpack_address
from dhtshare.dht.contact import Contact
from dhtshare.dht.external import same_wide_network
from dhtshare.dht.messages import Answer, Body, Code, Failure, Method, NoAnswer, Refused, Request
from dhtshare.dht.rates import RateMeter
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.wire import MESSAGE_ID_BYTES
from dhtshare.errors import MalformedError
from dhtshare.network import Address

PROBERS = 3
RELAYS_TRIED = 3  # one that does not know us refuses
FAVOUR_SECONDS = 600.0
ARRIVAL_SECONDS = 8.0  # a TCP dial of 5 s and some round trips
DIAL_SECONDS = 5.0
MAX_JOBS = 8
MAX_ADDRESSES = 4096

Dial = Callable[[Address], Awaitable[bool]]


async def dial_tcp(address: Address) -> bool:
    """Whether a TCP connection to that address opens within 5 s."""
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:  # TimeoutError included
        return False
    writer.close()
    return True


class Reach:
    """Probing, both ways, in one global scope. `serve` must run for as long as others may ask us."""

    def __init__(self, scope: ScopeDht, tcp_port: int, dial: Dial = dial_tcp) -> None:
        self.tcp_port = tcp_port
        self._scope = scope
        self._dial = dial
        self._jobs: asyncio.Queue[tuple[int, bytes, Contact]] = asyncio.Queue(MAX_JOBS)
        self._probes = RateMeter(1 / FAVOUR_SECONDS, 1, MAX_ADDRESSES)
        self._relays = RateMeter(1 / FAVOUR_SECONDS, 1, MAX_ADDRESSES)
        self._nonces: set[bytes] = set()
        self._asked: set[str] = set()
        self._arrived = asyncio.Event()
        self._dials: dict[str, bool] = {}
        scope.rpc.handle(Method.PROBE, self._on_probe, needs_proof=True)
        scope.rpc.handle(Method.RELAY, self._on_relay, needs_proof=True)
        scope.rpc.handle(Method.PROBED, self._on_probed, needs_proof=True)
        scope.rpc.on_arrival = self._on_arrival

    # ---- asking --------------------------------------------------------------------------------

    async def find_out(self) -> bool | None:
        """Have us probed. True: a stranger's datagram came in. None: nobody was there to probe us."""
        self._nonces.clear()
        self._dials.clear()
        self._arrived.clear()
        probers = _spread(self._scope.table, self._scope.rng, PROBERS)
        self._asked = {contact.address.host for contact in probers}
        answers = await asyncio.gather(*(self._ask(contact) for contact in probers))
        if not any(answers):
            return None
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    @property
    def dialable(self) -> bool | None:
        """Whether more of those who tried our TCP port reached it than did not; None while nobody said."""
        if not self._dials:
            return None
        return 2 * sum(self._dials.values()) > len(self._dials)

    async def _ask(self, contact: Contact) -> bool:
        nonce = self._scope.rng.randbytes(MESSAGE_ID_BYTES)
        self._nonces.add(nonce)
        return await self._accepted(contact, Method.PROBE, {2: self.tcp_port, 4: nonce})

    def _on_arrival(self, nonce: bytes, sender: Address) -> None:
        if nonce in self._nonces and sender.host not in self._asked and not self._scope.rpc.peers.knows(sender):
            self._arrived.set()

    def _on_probed(self, request: Request) -> Answer:
        nonce, reached = request.body.get(2), request.body.get(4)
        if type(reached) is not bool or nonce not in self._nonces or request.sender.host not in self._asked:
            return Failure(Code.REFUSED)
        self._dials[request.sender.host] = reached
        return {}

    # ---- answering -----------------------------------------------------------------------------

    async def serve(self) -> None:
        """Do the dialling for others, one after the other, for ever."""
        while True:
            port, nonce, asker = await self._jobs.get()
            for relay in self._relays_for(asker.address):
                if await self._accepted(relay, Method.RELAY, {2: pack_address(asker.address), 4: nonce}):
                    break
            if port:
                reached = await self._dial(Address(asker.address.host, port))
                await self._accepted(asker, Method.PROBED, {2: nonce, 4: reached})

    async def _accepted(self, contact: Contact, method: Method, body: Body) -> bool:
        try:
            await self._scope.rpc.call(contact, method, body, prove=True)
        except (NoAnswer, Refused):
            return False
        return True

    def _on_probe(self, request: Request) -> Answer:
        port, nonce = request.body.get(2), _nonce(request)
        if type(port) is not int or not (port == 0 or 1024 <= port < 65536):
            raise MalformedError("The port of a probe is out of range.")
        wait = self._probes.take(request.sender.host, self._scope.rpc.now())
        if wait:
            return Failure(Code.BUSY, int(wait) + 1)
        if not self._relays_for(request.sender) or self._jobs.full():
            return Failure(Code.REFUSED)
        self._jobs.put_nowait((port, nonce, Contact(request.node_id, request.sender)))
        return {}

    def _relays_for(self, asker: Address) -> list[Contact]:
        """Contacts in other /16s, to be tried in turn; where we know none, ones at other addresses."""
        others = [contact for contact in self._scope.table if contact.address.host != asker.host]
        far = [contact for contact in others if not same_wide_network(contact.address.host, asker.host)]
        choice = far or others
        return self._scope.rng.sample(choice, min(RELAYS_TRIED, len(choice)))

    def _on_relay(self, request: Request) -> Answer:
        packed, nonce = request.body.get(2), _nonce(request)
        target = unpack_address(packed) if type(packed) is bytes else None
        scope = self._scope
        if target is None or scope.rpc.rules.scope_of(target.host) is not scope.scope or target.port < 1024:
            raise MalformedError("The address of a relay is none of this scope.")
        if Contact(request.node_id, request.sender) not in scope.table:
            return Failure(Code.REFUSED)
        wait = self._relays.take(target.host, scope.rpc.now())
        if wait:
            return Failure(Code.BUSY, int(wait) + 1)
        scope.rpc.send_arrival(nonce, target)
        return {}


def _nonce(request: Request) -> bytes:
    nonce = request.body.get(4)
    if type(nonce) is not bytes or len(nonce) != MESSAGE_ID_BYTES:
        raise MalformedError("The nonce has a wrong length.")
    return nonce


def _spread(contacts: Iterable[Contact], rng: random.Random, count: int) -> list[Contact]:
    """Some contacts, each of another /16 as far as there are such."""
    pool = list(contacts)
    rng.shuffle(pool)
    chosen: list[Contact] = []
    for contact in pool:
        if not any(same_wide_network(contact.address.host, other.address.host) for other in chosen):
            chosen.append(contact)
    chosen += [contact for contact in pool if contact not in chosen]
    return chosen[:count]
