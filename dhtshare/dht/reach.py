"""Can the world reach us? Nodes find out for each other, and only then is a node named to others.

A node that wants to know sends PROBE with its TCP port and a nonce, proved, to a few contacts. Each has a
contact of its own send the nonce to the asker and dials the asker's TCP port (see `favours`).

A nonce from a host that we did not write to lately proves that UDP gets in. In a small network we wrote to
everybody lately, and in a network of two nobody else is there to send it; then the TCP dial decides. A node
is called unreachable only when somebody did send and nothing came.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dhtshare.dht.contact import Contact
from dhtshare.dht.external import same_wide_network
from dhtshare.dht.holes import Holes
from dhtshare.dht.messages import Answer, Code, Failure, Method, NoAnswer, Refused, Request
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.wire import MESSAGE_ID_BYTES
from dhtshare.network import Address

PROBERS = 3
REPORT_SECONDS = 12.0  # a TCP dial of 5 s, up to three relays asked, and some round trips
GRACE_SECONDS = 1.0  # a report that something was sent may be quicker than what was sent


@dataclass(slots=True)
class Probing:
    """What one round of probes brought to light. Pure."""

    asked: dict[bytes, str] = field(default_factory=dict)  # nonce → host of the prober
    strangers: int = 0  # nonces from hosts that no NAT would let in for our sake
    others: int = 0  # nonces from hosts that we wrote to lately
    sent: dict[str, bool] = field(default_factory=dict)  # prober → whether somebody wrote to us
    dialled: dict[str, bool] = field(default_factory=dict)  # prober → whether our TCP port answered

    def declined(self, nonce: bytes) -> None:
        """No answer came to that probe, or a refusal. Who reported all the same did take it; its answer was lost."""
        if self.asked[nonce] not in self.sent:
            del self.asked[nonce]

    @property
    def all_reported(self) -> bool:
        return self.sent.keys() >= set(self.asked.values())

    @property
    def dialable(self) -> bool | None:
        """Whether more of those who tried our TCP port reached it than did not; None while nobody tried."""
        return 2 * sum(self.dialled.values()) > len(self.dialled) if self.dialled else None

    @property
    def undialable(self) -> bool | None:
        """True when all who were asked have told and nobody reached our TCP port, False when anybody did.

        What follows from it is silence, so a third of liars must not bring it about: they would all have to be ours.
        """
        if any(self.dialled.values()):
            return False
        return True if self.dialled and self.all_reported else None

    @property
    def reachable(self) -> bool | None:
        """None: this round tells nothing."""
        if self.strangers:
            return True
        if any(self.sent.values()) and not self.others:
            return False
        return True if self.dialable else None


class Reach:
    """Asks to be probed, in one global scope, and keeps `scope.dialable`; with `decides` also `scope.undialable`."""

    def __init__(self, scope: ScopeDht, tcp_port: int, *, decides: bool = True) -> None:
        self._decides = decides
        self._scope = scope
        self._tcp_port = tcp_port
        self._holes = Holes()
        self._probing = Probing()
        self._news = asyncio.Event()
        scope.rpc.handle(Method.PROBED, self._on_probed, needs_proof=True)
        scope.rpc.on_arrival = self._on_arrival
        scope.rpc.on_asked = self._on_asked

    async def find_out(self) -> bool | None:
        """Have us probed. None where that told nothing: nobody was there to do it, or everybody is too close to us."""
        probing = self._probing = Probing()
        await asyncio.gather(*(self._ask(contact) for contact in _spread(self._scope.table, self._scope.rng)))
        if not probing.asked:
            return None
        await self._wait(REPORT_SECONDS, lambda: probing.strangers > 0 or probing.all_reported)
        if any(probing.sent.values()):
            await self._wait(GRACE_SECONDS, lambda: probing.strangers + probing.others > 0)
        return probing.reachable

    async def _wait(self, seconds: float, done: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def _ask(self, contact: Contact) -> None:
        probing, nonce = self._probing, self._scope.rng.randbytes(MESSAGE_ID_BYTES)
        probing.asked[nonce] = contact.address.host
        try:
            await self._scope.rpc.call(contact, Method.PROBE, {2: self._tcp_port, 4: nonce}, prove=True)
        except (NoAnswer, Refused):
            probing.declined(nonce)

    def _on_asked(self, address: Address) -> None:
        self._holes.wrote(address.host, self._scope.rpc.now())

    def _on_arrival(self, nonce: bytes, sender: Address) -> None:
        if nonce not in self._probing.asked:
            return
        if self._holes.may_let_in(sender.host, self._scope.rpc.now()):
            self._probing.others += 1
        else:
            self._probing.strangers += 1
        self._news.set()

    def _on_probed(self, request: Request) -> Answer:
        nonce, reached, sent = request.body.get(2), request.body.get(4), request.body.get(5)
        probing, host = self._probing, request.sender.host
        expected = type(nonce) is bytes and probing.asked.get(nonce) == host
        if not expected or not (reached is None or type(reached) is bool):
            return Failure(Code.REFUSED)
        probing.sent[host] = sent is True
        if type(reached) is bool:
            probing.dialled[host] = reached
            self._scope.dialable = probing.dialable
            if self._decides and probing.undialable is not None:
                self._scope.found_undialable(probing.undialable)
        self._news.set()
        return {}


def _spread(contacts: Iterable[Contact], rng: random.Random) -> list[Contact]:
    """Some contacts to ask, each of another /16 as far as there are such.

    At most half of those we know: the others are to be strangers to us.
    """
    pool = list(contacts)
    rng.shuffle(pool)
    chosen: list[Contact] = []
    for contact in pool:
        if not any(same_wide_network(contact.address.host, other.address.host) for other in chosen):
            chosen.append(contact)
    chosen += [contact for contact in pool if contact not in chosen]
    return chosen[: min(PROBERS, (len(pool) + 1) // 2)]
