"""Whom a fetch may dial, and how often: so that nobody can aim a swarm at a victim. Pure.

Limits of design.md, section 7, and threats.md: in global scopes at most 2 attempts per ip:port and 4 per IP,
4 IPs per /24 or /48, no port below 1024; everywhere 8 dials in flight and 40 connections.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from dhtshare.network import LOWEST_GLOBAL_PORT, Address, Scope, ScopeRules, network_tag

ATTEMPTS_PER_ADDRESS = 2
ATTEMPTS_PER_IP = 4
IPS_PER_NETWORK = 4
DIALS_IN_FLIGHT = 8
CONNECTIONS = 40
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A peer worth dialling. `peer_id` as in PeerAddress; `content` and `base` as in SwarmPeer."""

    address: Address
    peer_id: bytes | None
    origin: str
    content: bytes
    base: int


class Dials:
    """Candidates in order of arrival, failed ones once more after a pause."""

    def __init__(self, rules: ScopeRules, *, connections: int = CONNECTIONS) -> None:
        self._rules = rules
        self._connections = connections
        self._queue: deque[Candidate] = deque()
        self._again: list[tuple[float, Candidate]] = []
        self._known: set[Address] = set()
        self._attempts: Counter[Address] = Counter()
        self._ip_attempts: Counter[str] = Counter()
        self._networks: dict[bytes, set[str]] = {}
        self.in_flight = 0
        self.connected = 0

    @property
    def known(self) -> int:
        """How many candidates there ever were."""
        return len(self._known)

    @property
    def idle(self) -> bool:
        """Whether nobody is left to dial or being dialled."""
        return not self._queue and not self._again and not self.in_flight

    def add(self, candidate: Candidate) -> bool:
        """Whether it is new and may be dialled."""
        address = candidate.address
        scope = self._rules.scope_of(address.host)
        if scope is None or address in self._known:
            return False
        if scope is not Scope.LAN:
            if address.port < LOWEST_GLOBAL_PORT:
                return False
            hosts = self._networks.setdefault(network_tag(address.host, scope), set())
            if len(hosts) >= IPS_PER_NETWORK and address.host not in hosts:
                return False
            hosts.add(address.host)
        self._known.add(address)
        self._queue.append(candidate)
        return True

    def next(self, now: float) -> Candidate | None:
        """Whom to dial now; counts as begun."""
        while self._again and self._again[0][0] <= now:
            self._queue.append(self._again.pop(0)[1])
        if self.in_flight >= DIALS_IN_FLIGHT or self.connected + self.in_flight >= self._connections:
            return None
        while self._queue:
            candidate = self._queue.popleft()
            host = candidate.address.host
            if self._rules.scope_of(host) is not Scope.LAN and self._ip_attempts[host] >= ATTEMPTS_PER_IP:
                continue
            self._attempts[candidate.address] += 1
            self._ip_attempts[host] += 1
            self.in_flight += 1
            return candidate
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

    def _later(self, candidate: Candidate, now: float) -> None:
        local = self._rules.scope_of(candidate.address.host) is Scope.LAN
        if local or self._attempts[candidate.address] < ATTEMPTS_PER_ADDRESS:
            pause = RETRY_SECONDS * min(12, self._attempts[candidate.address])
            self._again.append((now + pause, candidate))
            self._again.sort(key=lambda entry: entry[0])
