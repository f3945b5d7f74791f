"""The routing table of somebody who need not be quick: one list, every rule said once, every answer sorted."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dhtshare.dht.contact import Contact
from dhtshare.dht.nodeid import is_bound
from dhtshare.network import Address, Scope


@dataclass
class Entry:
    contact: Contact
    last_seen: float
    active: bool
    failures: int = 0
    disputed: bool = False
    asked: float = float("-inf")

    def renew(self, now: float) -> None:
        self.last_seen, self.failures, self.disputed, self.asked = now, 0, False, float("-inf")

    @property
    def host(self) -> str:
        return self.contact.address.host


def network_of(host: str) -> bytes:
    ip = ipaddress.ip_address(host)
    return ip.packed[:3] if ip.version == 4 else ip.packed[:6]


class TableModel:
    """What `routing.Table` must be equal to. Times of signs of life are distinct."""

    def __init__(self, own: bytes, scope: Scope, k: int) -> None:
        self.own = own
        self.scope = scope
        self.k = k
        self.entries: list[Entry] = []

    def index(self, node_id: bytes) -> int:
        return (int.from_bytes(self.own, "big") ^ int.from_bytes(node_id, "big")).bit_length()

    def bucket(self, index: int, *, active: bool) -> list[Entry]:
        """Least recently seen first."""
        chosen = [e for e in self.entries if e.active is active and self.index(e.contact.node_id) == index]
        return sorted(chosen, key=lambda e: e.last_seen)

    def at(self, contact: Contact) -> Entry | None:
        return next((e for e in self.entries if e.contact == contact), None)

    def acceptable(self, contact: Contact) -> bool:
        if contact.node_id == self.own:
            return False
        if self.scope is Scope.LAN:
            return True
        return contact.address.port >= 1024 and is_bound(contact.node_id, contact.address.host)

    def fits(self, contact: Contact) -> bool:
        if self.scope is Scope.LAN:
            return True
        host, network = contact.address.host, network_of(contact.address.host)
        near = [e for e in self.entries if network_of(e.host) == network]
        index = self.index(contact.node_id)
        return (
            all(e.host != host for e in self.entries)
            and len(near) < 10
            and sum(self.index(e.contact.node_id) == index for e in near) < 2
        )

    # ---- what the table is told -----------------------------------------------------------------

    def answered(self, contact: Contact, now: float) -> bool:
        here = next((e for e in self.entries if e.contact.address == contact.address), None)
        if here is not None and here.contact == contact:
            here.renew(now)
            return here.active
        if here is not None:
            self.remove(here)
        if not self.acceptable(contact):
            return False
        twin = next((e for e in self.entries if e.contact.node_id == contact.node_id), None)
        if twin is not None and not twin.failures:
            twin.disputed = True
            return False
        if twin is not None:
            self.remove(twin)
        if not self.fits(contact):
            return False
        index = self.index(contact.node_id)
        active = len(self.bucket(index, active=True)) < self.k
        waiting = self.bucket(index, active=False)
        if not active and len(waiting) == self.k:
            self.entries.remove(waiting[0])
        self.entries.append(Entry(contact, now, active))
        return active

    def heard(self, contact: Contact, now: float) -> bool:
        entry = self.at(contact)
        if entry is None:
            return False
        entry.renew(now)
        return True

    def failed(self, contact: Contact, now: float) -> bool:
        entry = self.at(contact)
        if entry is None:
            return False
        entry.failures += 1
        entry.asked = now
        if entry.failures == 4:
            self.remove(entry)
            return True
        return False

    def dismiss(self, contact: Contact) -> None:
        entry = self.at(contact)
        if entry is not None:
            self.remove(entry)

    def remove(self, entry: Entry) -> None:
        self.entries.remove(entry)
        waiting = self.bucket(self.index(entry.contact.node_id), active=False)
        if entry.active and waiting:
            min(waiting, key=lambda e: (e.failures, -e.last_seen)).active = True

    def moved_to(self, own: bytes) -> TableModel:
        model = TableModel(own, self.scope, self.k)
        for entry in sorted(self.entries, key=lambda e: e.last_seen):
            model.answered(entry.contact, entry.last_seen)
            again = model.at(entry.contact)
            if again is not None:
                again.failures = entry.failures
        return model

    # ---- what the table is asked ----------------------------------------------------------------

    def active(self) -> Iterator[Entry]:
        return (e for e in self.entries if e.active)

    def nearest(self, target: bytes, count: int, nameable: Callable[[Address], bool]) -> list[Contact]:
        named = [e.contact for e in self.active() if e.failures < 2 and nameable(e.contact.address)]
        return sorted(named, key=lambda contact: contact.distance_to(target))[:count]

    def wants(self, contact: Contact) -> bool:
        if any(e.contact.address == contact.address for e in self.entries) or not self.acceptable(contact):
            return False
        twin = next((e for e in self.entries if e.contact.node_id == contact.node_id), None)
        if twin is not None:
            return bool(twin.failures)
        index = self.index(contact.node_id)
        room = len(self.bucket(index, active=True)) < self.k or len(self.bucket(index, active=False)) < self.k
        return room and self.fits(contact)

    def to_check(self, now: float) -> list[Contact]:
        found = []
        for index in range(1, 161):
            oldest = self.bucket(index, active=True)[:1] if self.bucket(index, active=False) else []
            for entry in self.bucket(index, active=True):
                if entry.failures or entry.disputed:
                    due = now - entry.asked >= 10.0 * (1 + entry.failures)
                else:
                    due = entry in oldest and now - entry.last_seen > 600.0
                if due:
                    found.append(entry.contact)
        return found
