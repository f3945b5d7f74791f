"""Finding out for others whether they can be reached, in one global scope (see `reach` for the asking side).

Whoever asks by PROBE, proved, is dialled at its own address and the TCP port it names, and one contact of
ours in another /16 is asked by RELAY to send it one datagram of 25 bytes; PROBED says what came of both.
Per address one such favour in 10 minutes, given and relayed: nobody is made to knock on a third party.

Bodies: PROBE 2 TCP port (0: none) · 4 nonce (20). RELAY 2 address · 4 nonce.
PROBED 2 nonce · 4 TCP reached, nil where nothing was dialled · 5 whether the datagram was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dhtshare.dht.compact import pack_address, unpack_address
from dhtshare.dht.contact import Contact
from dhtshare.dht.external import same_wide_network
from dhtshare.dht.messages import Answer, Body, Code, Failure, Method, NoAnswer, Refused, Request
from dhtshare.dht.rates import RateMeter
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.wire import MESSAGE_ID_BYTES
from dhtshare.errors import MalformedError
from dhtshare.network import LOWEST_GLOBAL_PORT, Address

FAVOUR_SECONDS = 600.0
DIAL_SECONDS = 5.0
RELAYS_TRIED = 3  # one that does not know us refuses
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


class Favours:
    """What we do for those who ask. `serve` must run for as long as others may ask us."""

    def __init__(self, scope: ScopeDht, dial: Dial = dial_tcp) -> None:
        self._scope = scope
        self._dial = dial
        self._jobs: asyncio.Queue[tuple[int, bytes, Contact]] = asyncio.Queue(MAX_JOBS)
        self._probes = RateMeter(1 / FAVOUR_SECONDS, 1, MAX_ADDRESSES)
        self._relays = RateMeter(1 / FAVOUR_SECONDS, 1, MAX_ADDRESSES)
        scope.rpc.handle(Method.PROBE, self._on_probe, needs_proof=True)
        scope.rpc.handle(Method.RELAY, self._on_relay, needs_proof=True)

    async def serve(self) -> None:
        """One asker after the other, for ever."""
        while True:
            port, nonce, asker = await self._jobs.get()
            sent, reached = await asyncio.gather(self._send_for(asker.address, nonce), self._reached(asker, port))
            await self._accepted(asker, Method.PROBED, {2: nonce, 4: reached, 5: sent})

    async def _send_for(self, asker: Address, nonce: bytes) -> bool:
        """Have a stranger write to the asker. False where nobody would."""
        for relay in self._relays_for(asker):
            if await self._accepted(relay, Method.RELAY, {2: pack_address(asker), 4: nonce}):
                return True
        return False

    async def _reached(self, asker: Contact, port: int) -> bool | None:
        return await self._dial(Address(asker.address.host, port)) if port else None

    async def _accepted(self, contact: Contact, method: Method, body: Body) -> bool:
        try:
            await self._scope.rpc.call(contact, method, body, prove=True)
        except (NoAnswer, Refused):
            return False
        return True

    def _on_probe(self, request: Request) -> Answer:
        port, nonce = request.body.get(2), _nonce(request)
        if type(port) is not int or not (port == 0 or LOWEST_GLOBAL_PORT <= port < 65536):
            raise MalformedError("The port of a probe is out of range.")
        if self._jobs.full() or not (port or self._relays_for(request.sender)):
            return Failure(Code.REFUSED)
        wait = self._probes.take(request.sender.host, self._scope.rpc.now())
        if wait:
            return Failure(Code.BUSY, int(wait) + 1)
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
        if (
            target is None
            or scope.rpc.rules.scope_of(target.host) is not scope.scope
            or target.port < LOWEST_GLOBAL_PORT
        ):
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
