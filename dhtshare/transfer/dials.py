"""Whom a fetch may dial, and how often: so that nobody can aim a swarm at a victim. Pure.

Limits of design.md, section 7, and threats.md: in global scopes at most 2 attempts per ip:port and 4 per IP,
4 IPs per /24 or /48, no port below 1024; everywhere 8 dials in flight and 40 connections. `Attempts` is asked where
the sockets are opened, for all steps of one fetch together; `Dials` decides who is next.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dhtshare.network import LOWEST_GLOBAL_PORT, Address, Scope, ScopeRules, network_tag
from dhtshare.transfer.dealing import Deal

ATTEMPTS_PER_ADDRESS = 2
ATTEMPTS_PER_IP = 4
IPS_PER_NETWORK = 4
DIALS_IN_FLIGHT = 8
CONNECTIONS = 40
RETRY_SECONDS = 5.0


class Attempts:
    """The connections that one errand opened, or tried to. The LAN scope has no limits: it is our own.

    Invariant: whatever is named by whomever, no address, IP or network of a global scope sees more than its share.
    """

    def __init__(self, rules: ScopeRules) -> None:
        self._rules = rules
        self._addresses: Counter[Address] = Counter()
        self._ips: Counter[str] = Counter()
        self._networks: dict[bytes, set[str]] = {}

    def of(self, address: Address) -> int:
        """How many there were at this address."""
        return self._addresses[address]

    def left(self, address: Address) -> bool:
        """Whether one more may be made."""
        scope = self._rules.scope_of(address.host)
        if scope is None or scope is Scope.LAN:
            return scope is not None
        hosts = self._networks.get(network_tag(address.host, scope), ())
        return (
            address.port >= LOWEST_GLOBAL_PORT
            and self._addresses[address] < ATTEMPTS_PER_ADDRESS
            and self._ips[address.host] < ATTEMPTS_PER_IP
            and (address.host in hosts or len(hosts) < IPS_PER_NETWORK)
        )

    def begin(self, address: Address) -> bool:
        """Whether it may be dialled now; then it counts."""
        if not self.left(address):
            return False
        scope = self._rules.scope_of(address.host)
        assert scope is not None
        self._addresses[address] += 1
        self._ips[address.host] += 1
        self._networks.setdefault(network_tag(address.host, scope), set()).add(address.host)
        return True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A peer worth dialling. `peer_id` as in PeerAddress; `content` and `base` as in SwarmPeer.

    `told_by`: who named it, as far as turns are concerned.
    """

    address: Address
    peer_id: bytes | None
    origin: str
    content: bytes
    base: int
    told_by: str = ""


class Dials:
    """Candidates, dealt by who named them; failed ones once more after a pause."""

    def __init__(self, rules: ScopeRules, *, connections: int = CONNECTIONS, attempts: Attempts | None = None) -> None:
        """`attempts`: those of the whole errand, counted by whoever opens the sockets."""
        self._rules = rules
        self._connections = connections
        self.attempts = attempts or Attempts(rules)
        self._queue: Deal[str, Candidate] = Deal()
        self._waiting: set[Address] = set()
        self._again: list[tuple[float, Candidate]] = []
        self._known: set[Address] = set()
        self.in_flight = 0
        self.connected = 0

    @property
    def known(self) -> int:
        """How many candidates there ever were."""
        return len(self._known)

    @property
    def idle(self) -> bool:
        """Whether nobody is left to dial or being dialled."""
        return not self._waiting and not self._again and not self.in_flight

    @property
    def crowded(self) -> bool:
        """Whether somebody waits only because there are as many connections as there may be."""
        return bool(self._waiting) and self.connected + self.in_flight >= self._connections

    def add(self, candidate: Candidate) -> bool:
        """Whether it is new and may be dialled. Who is named by another, too, is dialled when either's turn comes."""
        address = candidate.address
        known = address in self._known
        if (known and address not in self._waiting) or not self.attempts.left(address):
            return False
        self._known.add(address)
        self._waiting.add(address)
        self._queue.add(candidate.told_by, candidate)
        return not known

    def next(self, now: float) -> Candidate | None:
        """Whom to dial now; it is in flight until told otherwise."""
        while self._again and self._again[0][0] <= now:
            candidate = self._again.pop(0)[1]
            self._waiting.add(candidate.address)
            self._queue.add(candidate.told_by, candidate)
        if self.in_flight >= DIALS_IN_FLIGHT or self.connected + self.in_flight >= self._connections:
            return None
        while (chosen := self._queue.next()) is not None:
            if chosen.address not in self._waiting:
                continue  # its turn came by another who named it
            self._waiting.remove(chosen.address)
            if self.attempts.left(chosen.address):
                self.in_flight += 1
                return chosen
        return None

    def succeeded(self) -> None:
        """A dial became a connection."""
        self.in_flight -= 1
        self.connected += 1

    def failed(self, candidate: Candidate, now: float, *, hopeless: bool = False) -> None:
        """A dial failed; once more later, if it has an attempt left and may succeed then."""
        self.in_flight -= 1
        if not hopeless:
            self._later(candidate, now)

    def lost(self, candidate: Candidate, now: float, *, banned: bool) -> None:
        """A connection ended; one that lied is never dialled again."""
        self.connected -= 1
        if not banned:
            self._later(candidate, now)

    def put_aside(self) -> None:
        """A connection is let go of, for another one leads to the same peer; `again` when that one ends."""
        self.connected -= 1

    def again(self, candidate: Candidate, now: float) -> None:
        """Somebody who was put aside is worth a dial again."""
        self._later(candidate, now)

    def _later(self, candidate: Candidate, now: float) -> None:
        if self.attempts.left(candidate.address):
            pause = RETRY_SECONDS * min(12, max(1, self.attempts.of(candidate.address)))
            self._again.append((now + pause, candidate))
            self._again.sort(key=lambda entry: entry[0])
