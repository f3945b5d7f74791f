"""The routing table: whom we know, by distance. Pure; it never sends, its driver asks what to check.

Invariants: a node enters only by `answered`, after it answered a request of ours; ourselves never; one
node per id and one per address; at most 160 buckets of k nodes and k replacements; replacements only where
a bucket is full; nodes of a bucket in the order of their last sign of life; in global scopes 1 node per IP,
2 per /24 (/48) in a bucket and 10 in all, ids bound to addresses.

Who is closest to a target is told by `closest`, where to look again by `freshness`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from dhtshare.dht import seats
from dhtshare.dht.adapter import AdaptedTable, Bucket, TableNode
from dhtshare.dht.closest import UNNAMED_AFTER_FAILURES, Closest
from dhtshare.dht.contact import ID_BITS, Contact, Row
from dhtshare.dht.diversity import port_allowed
from dhtshare.dht.freshness import Freshness, farthest_first, unfilled
from dhtshare.dht.nodeid import is_bound
from dhtshare.network import REMEMBERED, Address, Scope

K = 20
FEW_CONTACTS = 8
EVICT_AFTER_FAILURES = 4  # at 20 % loss a live node fails so in 5 of a million rows
CHECK_PAUSE_SECONDS = 10.0  # between two checks of one failing node
FRESH_SECONDS = 600.0  # a node heard of within this needs no ping before it keeps its place
_NEVER = float("-inf")


class Known(NamedTuple):
    """A contact of a bucket, the monotonic time of its last sign of life, and failures in a row since."""

    contact: Contact
    last_seen: float
    failures: int


class Table(AdaptedTable):
    """The contacts of one scope. `now` is monotonic seconds."""

    def __init__(self, node_id: bytes, scope: Scope, k: int = K) -> None:
        self._scope = scope
        self._own_id = node_id
        self._own = int.from_bytes(node_id, "big")
        super().__init__(node_id, k)

    def flush(self) -> None:
        """Forget everybody."""
        super().flush()
        self._checked: dict[bytes, float] = {}  # every failing or disputed node, and when it was last asked
        self._closest = Closest(self.node.long_id, self.buckets)
        self._freshness = Freshness(self.node.long_id)

    def moved_to(self, node_id: bytes) -> Table:
        """The table of the same node under another id: the same contacts, with what is known of each."""
        table = Table(node_id, self._scope, self.ksize)
        for node in sorted(seats.seated(self.buckets), key=lambda node: node.last_seen):
            table.answered(node.contact, node.last_seen)
            again = table._known(node.contact)
            if again is not None and node.failures:
                again.failures = node.failures
                table._checked[again.id] = _NEVER
        return table

    def __len__(self) -> int:
        return sum(len(bucket.nodes) for bucket in self.buckets.values())

    def __bool__(self) -> bool:
        return True  # an empty table is still a table

    def __contains__(self, contact: object) -> bool:
        return isinstance(contact, Contact) and self._active(contact)

    def __iter__(self) -> Iterator[Contact]:
        for index in self._closest.indexes:
            for node in self.buckets[index].nodes.values():
                yield node.contact

    # ---- facts ---------------------------------------------------------------------------------

    def answered(self, contact: Contact, now: float) -> bool:
        """The contact answered a request of ours under this id. True if it is (now) in a bucket."""
        index, _, other = self._place(contact.node_id)
        if other is not None and other.row.contact.address == contact.address:
            return self._renew(other, index, now)
        others = seats.of_owner(self.buckets, contact, self._scope)
        before = next((node for node in others if node.contact.address == contact.address), None)
        if before is not None:
            self._drop(before)  # the address answers under another id now
        if not self.acceptable(contact):
            return False
        bucket = self.bucket(index)
        if other is not None:
            if not other.failures:  # two addresses claim one id: see whether the first still lives
                self._checked.setdefault(other.id, _NEVER)
                return False
            self._drop(other)
        others = [node for node in others if node is not before and node is not other]
        if not seats.free(others, contact, bucket, self._scope):
            return False
        if bucket.is_crammed:
            self._drop(bucket.stalest_replacement())
        node = TableNode(contact, now)
        entered: bool = bucket.add_node(node)
        if entered:
            self._closest.changed(index)
        return entered

    def asked(self, node_id: bytes, sender: Address, now: float) -> bool:
        """A proved request came from there under that id. True if that is a stranger worth a ping, see `wants`."""
        index, bucket, node = self._place(node_id)
        if node is None and bucket is not None and bucket.is_crammed:
            return False  # as almost every bucket is that a stranger falls into
        if node is None or node.row.contact.address != sender:
            return self._wants(Contact(node_id, sender), bucket, node)
        self._renew(node, index, now)
        return False

    def failed(self, contact: Contact, now: float) -> bool:
        """A call to it, retransmissions included, stayed without answer. True if that evicted it."""
        node = self._known(contact)
        if node is None:
            return False
        node.failures += 1
        self._checked[node.id] = now
        if node.failures >= EVICT_AFTER_FAILURES:
            self._drop(node)
            return True
        if node.failures == UNNAMED_AFTER_FAILURES:
            self._closest.changed(self._index(node.id))
        return False

    def client(self, contact: Contact, now: float, *, invited: bool) -> None:
        """It says that it is a client: others cannot reach it, as far as it knows.

        Where hardly anybody is known, one that was told to us by its address stays all the same: the first
        nodes of a network are clients of each other until they found out that they can be reached.
        """
        if len(self) < FEW_CONTACTS and (contact in self or invited):
            self.answered(contact, now)
        else:
            self.dismiss(contact)

    def dismiss(self, contact: Contact) -> None:
        """Forget it: its address answered under another id, or it says itself that others cannot reach it."""
        node = self._known(contact)
        if node is not None:
            self._drop(node)

    def refreshed(self, target: bytes, now: float) -> None:
        """A lookup of ours for this target is done."""
        self._freshness.refreshed(self._index(target), now)

    # ---- questions -----------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Grows with every change that could change an answer of `nearest`."""
        return self._closest.version

    def acceptable(self, contact: Contact) -> bool:
        """Whether such a contact may be in this scope's table at all: not ourselves, id and port right."""
        return contact.node_id != self._own_id and (self._scope is Scope.LAN or _possible(contact))

    def wants(self, contact: Contact) -> bool:
        """Whether it is worth a ping to get to know this contact: unknown, acceptable, and there is room."""
        _, bucket, known = self._place(contact.node_id)
        return self._wants(contact, bucket, known)

    def _wants(self, contact: Contact, bucket: Bucket | None, known: TableNode | None) -> bool:
        """`known` is who bears that id."""
        if known is not None and (not known.failures or known.contact.address == contact.address):
            return False
        if known is None and bucket is not None and bucket.is_crammed:
            return False
        if not self.acceptable(contact):
            return False
        others = seats.of_owner(self.buckets, contact, self._scope)
        if known is not None:
            return all(node.contact.address != contact.address for node in others)
        return seats.free(others, contact, bucket, self._scope)

    def nearest(self, target: bytes, count: int = K, *, loopback: bool = True) -> list[Contact]:
        """The `count` closest nameable contacts to a target, closest first. Without `loopback` addresses if so."""
        return self._closest.nearest(target, count, loopback=loopback)

    def group(self, target: bytes, count: int = K) -> tuple[int, list[Row]] | None:
        """A bucket's index and its rows where these are the `count` closest to all targets in it, None elsewhere.

        The list is the same one until they are others, so an answer can be kept packed beside it.
        """
        index = self._index(target)
        rows = self._closest.rows(index) if index in self.buckets else []
        return (index, rows) if len(rows) == count else None

    def liveliest(self) -> list[Known]:
        """Everybody in a bucket, whoever gave a sign of life last first."""
        nodes = [node for bucket in self.buckets.values() for node in bucket.nodes.values()]
        nodes.sort(key=lambda node: (node.failures, -node.last_seen))
        return [Known(node.contact, node.last_seen, node.failures) for node in nodes]

    def to_check(self, now: float, limit: int) -> list[Contact]:
        """Contacts to ping now: failing, disputed, and the least recently seen of full buckets with replacements."""
        found: list[Contact] = []
        doubtful = {self._index(node_id) for node_id in self._checked}
        for index in self._closest.indexes:
            bucket = self.buckets[index]
            if bucket.replacement_nodes:
                stalest = bucket.head()
                if stalest.id not in self._checked and now - stalest.last_seen > FRESH_SECONDS:
                    found.append(stalest.contact)
            if index in doubtful:
                found += [node.contact for node in bucket.nodes.values() if self._check_is_due(node, now)]
        return found[:limit]

    def stale(self, now: float, age: float) -> list[int]:
        """Indexes of buckets, farthest first, that no lookup of ours went into for `age` seconds."""
        return self._freshness.stale(farthest_first(self._lowest), now, age)

    def unfilled(self) -> list[int]:
        """Indexes of buckets, farthest first, with room for more; those nearer than anybody we know left out."""
        return unfilled(farthest_first(self._lowest), self.sizes(), self.ksize)

    def random_target(self, index: int, rng: random.Random) -> bytes:
        """A random id that falls into that bucket."""
        return self._freshness.random_target(index, rng)

    def sizes(self) -> dict[int, int]:
        """How many nodes each bucket that has any holds, by index."""
        return {index: len(self.buckets[index].nodes) for index in self._closest.indexes}

    # ---- inside --------------------------------------------------------------------------------

    @property
    def _lowest(self) -> int:
        return next(iter(self._closest.indexes), ID_BITS)

    def _check_is_due(self, node: TableNode, now: float) -> bool:
        asked = self._checked.get(node.id)
        return asked is not None and now - asked >= CHECK_PAUSE_SECONDS * (1 + node.failures)

    def _index(self, node_id: bytes) -> int:
        return (self._own ^ int.from_bytes(node_id, "big")).bit_length()

    def _active(self, contact: Contact) -> bool:
        node = self._known(contact)
        return node is not None and node.id in self.buckets[self._index(node.id)].nodes

    def _known(self, contact: Contact) -> TableNode | None:
        _, _, node = self._place(contact.node_id)
        return node if node is not None and node.row.contact.address == contact.address else None

    def _place(self, node_id: bytes) -> tuple[int, Bucket | None, TableNode | None]:
        """The index that an id falls into, the bucket of it, and who bears that id, at whatever address."""
        index = (self._own ^ int.from_bytes(node_id, "big")).bit_length()
        bucket = self.buckets.get(index)
        return index, bucket, None if bucket is None else bucket.anywhere(node_id)

    def _renew(self, node: TableNode, index: int, now: float) -> bool:
        was_unnamed = node.failures >= UNNAMED_AFTER_FAILURES
        node.failures = 0
        node.last_seen = now
        self._checked.pop(node.id, None)
        active = self.buckets[index].renew(node)
        if active and was_unnamed:
            self._closest.changed(index)
        return active

    def _drop(self, node: TableNode) -> None:
        index = self._index(node.id)
        bucket = self.buckets[index]
        was_active = node.id in bucket.nodes
        bucket.remove_node(node)
        self._checked.pop(node.id, None)
        if was_active:
            self._closest.changed(index)


@lru_cache(maxsize=REMEMBERED)
def _possible(contact: Contact) -> bool:
    """Whether a contact may be in a global scope: its port, and its id for its address."""
    return port_allowed(contact.address.port) and is_bound(contact.node_id, contact.address.host)
