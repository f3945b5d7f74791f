"""The routing table: whom we know, by distance. Pure; it never sends, its driver asks what to check.

Invariants: a node enters only by `answered`, after it answered a request of ours; ourselves never; one
node per id and one per address; at most k nodes and k replacements a bucket; in global scopes 1 node per
IP, 2 per /24 (/48) in a bucket and 10 in all, ids bound to addresses.

Buckets are indexed by the bit length of the XOR distance. The k closest to a target are exact: all of
the target's own bucket is closer than all of the buckets below it together, and those are closer than
each bucket above it, so whole groups are taken until one has to be sorted.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Iterator
from functools import lru_cache

from dhtshare.dht.adapter import AdaptedTable, TableNode
from dhtshare.dht.contact import ID_BITS, Contact
from dhtshare.dht.diversity import PER_NETWORK_IN_TABLE, Diversity, port_allowed
from dhtshare.dht.nodeid import is_bound
from dhtshare.network import Address, Scope, is_loopback

K = 20
EVICT_AFTER_FAILURES = 4  # at 10 % loss and one retransmission a live node fails so in 2 of a million rows
UNNAMED_AFTER_FAILURES = 2  # who failed so often is not told to others until it answers
CHECK_PAUSE_SECONDS = 10.0  # between two checks of one failing node
FRESH_SECONDS = 600.0  # a node heard of within this needs no ping before it keeps its place


class Table(AdaptedTable):
    """The contacts of one scope. `now` is monotonic seconds."""

    def __init__(self, node_id: bytes, scope: Scope, k: int = K) -> None:
        self._scope = scope
        self._own_id = node_id
        super().__init__(TableNode(Contact(node_id, Address("", 0)), 0.0), k)

    def flush(self) -> None:
        """Forget everybody."""
        super().flush()
        self._indexes: list[int] = []  # of buckets that hold nodes, ascending
        self._by_address: dict[Address, TableNode] = {}
        self._diversity = Diversity(self._scope, PER_NETWORK_IN_TABLE)
        self._bucket_diversity: dict[int, Diversity] = {}
        self._refreshed: dict[int, float] = {}
        self._checked: dict[bytes, float] = {}
        self._rows: dict[int, list[tuple[int, Contact]]] = {}
        self.version = 0  # grows with every change that could change an answer

    def __len__(self) -> int:
        return sum(len(bucket.nodes) for bucket in self.buckets.values())

    def __bool__(self) -> bool:
        return True  # an empty table is still a table

    def __contains__(self, contact: object) -> bool:
        return isinstance(contact, Contact) and self._active(contact) is not None

    def __iter__(self) -> Iterator[Contact]:
        for index in self._indexes:
            for node in self.buckets[index].nodes.values():
                yield node.contact

    # ---- facts ---------------------------------------------------------------------------------

    def answered(self, contact: Contact, now: float) -> bool:
        """The contact answered a request of ours under this id. True if it is (now) in a bucket."""
        known = self._by_address.get(contact.address)
        if known is not None and known.id == contact.node_id:
            return self._renew(known, now)
        if known is not None:
            self._drop(known)  # the address answers under another id now
        if not self.acceptable(contact):
            return False
        index = self._index(contact.node_id)
        bucket = self.bucket(index)
        other = bucket.nodes.get(contact.node_id) or bucket.replacement_nodes.get(contact.node_id)
        if other is not None:
            if not other.failures:
                self._checked.setdefault(other.id, 0.0)  # two addresses claim one id: see whether the first still lives
                return False
            self._drop(other)
        if not self._fits(index, contact.address):
            return False
        node = TableNode(contact, now)
        if len(bucket.nodes) >= bucket.ksize and len(bucket.replacement_nodes) >= bucket.max_replacement_nodes:
            self._drop(next(iter(bucket.replacement_nodes.values())))
        entered: bool = bucket.add_node(node)
        self._by_address[contact.address] = node
        self._diversity.admit(contact.address)
        if self._scope is not Scope.LAN:
            self._bucket_diversity.setdefault(index, Diversity(self._scope)).admit(contact.address)
        if index not in self._indexes:
            insort(self._indexes, index)
        if entered:
            self._changed(index)
        return entered

    def heard(self, contact: Contact, now: float) -> bool:
        """A proved request came from that address under that id. True if it is somebody we know."""
        node = self._by_address.get(contact.address)
        if node is None or node.id != contact.node_id:
            return False
        self._renew(node, now)
        return True

    def failed(self, contact: Contact, now: float) -> bool:
        """A call to it, retransmission included, stayed without answer. True if that evicted it."""
        node = self._by_address.get(contact.address)
        if node is None or node.id != contact.node_id:
            return False
        node.failures += 1
        self._checked[node.id] = now
        if node.failures >= EVICT_AFTER_FAILURES:
            self._drop(node)
            return True
        if node.failures == UNNAMED_AFTER_FAILURES:
            self._changed(self._index(node.id))
        return False

    def lied(self, contact: Contact) -> None:
        """The address answered under another id: nobody lives there under this one."""
        node = self._by_address.get(contact.address)
        if node is not None and node.id == contact.node_id:
            self._drop(node)

    # ---- questions -----------------------------------------------------------------------------

    def acceptable(self, contact: Contact) -> bool:
        """Whether such a contact may be in this scope's table at all: not ourselves, id and port right."""
        return contact.node_id != self._own_id and (self._scope is Scope.LAN or _possible(contact))

    def wants(self, contact: Contact) -> bool:
        """Whether it is worth a ping to get to know this contact: unknown, acceptable, and there is room."""
        if contact.address in self._by_address or not self.acceptable(contact):
            return False
        index = self._index(contact.node_id)
        bucket = self.buckets.get(index)
        if bucket is None:
            return self._fits(index, contact.address)
        known = bucket.nodes.get(contact.node_id)
        if known is not None:
            return bool(known.failures)
        room = len(bucket.nodes) < bucket.ksize or len(bucket.replacement_nodes) < bucket.max_replacement_nodes
        return room and self._fits(index, contact.address)

    def nearest(self, target: bytes, count: int = K, *, loopback: bool = True) -> list[Contact]:
        """The `count` closest nameable contacts to a target, closest first. Without `loopback` addresses if so."""
        wanted = int.from_bytes(target, "big")
        found: list[Contact] = []
        for group in self._groups(wanted):
            rows = sorted([(long_id ^ wanted, contact) for long_id, contact in group])
            if not loopback:
                rows = [row for row in rows if not is_loopback(row[1].address.host)]
            found += [contact for _, contact in rows[: count - len(found)]]
            if len(found) == count:
                break
        return found

    def group_key(self, target: bytes, count: int = K) -> int | None:
        """A number that is equal for targets with equal k closest, as long as `version` stays; None if that is unclear.

        It is clear where the target's own bucket holds exactly `count` nameable nodes, as almost every
        bucket asked about does; answers for it can be kept packed.
        """
        index = self._index(target)
        bucket = self.buckets.get(index)
        return index if bucket is not None and len(bucket.nodes) == count else None

    def liveliest(self) -> list[Contact]:
        """Everybody, whoever gave a sign of life last first."""
        nodes = [node for bucket in self.buckets.values() for node in bucket.nodes.values()]
        nodes.sort(key=lambda node: (node.failures, -node.last_seen))
        return [node.contact for node in nodes]

    def to_check(self, now: float, limit: int) -> list[Contact]:
        """Contacts to ping now: failing, disputed, and the least recently seen of full buckets with replacements."""
        found: list[Contact] = []
        for index in self._indexes:
            bucket = self.buckets[index]
            for node in bucket.nodes.values():
                due = node.failures or node.id in self._checked
                if due and now - self._checked.get(node.id, 0.0) >= CHECK_PAUSE_SECONDS * (1 + node.failures):
                    found.append(node.contact)
            head = bucket.head() if bucket.nodes else None
            if (
                head is not None
                and bucket.replacement_nodes
                and not head.failures
                and now - head.last_seen > FRESH_SECONDS
            ):
                found.append(head.contact)
        return found[:limit]

    def stale(self, now: float, age: float) -> list[int]:
        """Indexes of buckets, farthest first, that no lookup of ours went into for `age` seconds.

        From the farthest down to the closest bucket that holds anybody; nearer ones are covered by the
        lookup of our own id.
        """
        lowest = self._indexes[0] if self._indexes else ID_BITS
        return [i for i in range(ID_BITS, lowest - 1, -1) if now - self._refreshed.get(i, -age) >= age]

    def unfilled(self) -> list[int]:
        """Indexes of buckets, farthest first, with room for more; those nearer than anybody we know left out."""
        lowest = self._indexes[0] if self._indexes else ID_BITS
        sizes = self.sizes()
        return [i for i in range(ID_BITS, lowest - 1, -1) if sizes.get(i, 0) < self.ksize]

    def refreshed(self, target: bytes, now: float) -> None:
        """A lookup of ours for this target is done."""
        index = self._index(target)
        if index:
            self._refreshed[index] = now

    def random_target(self, index: int, rng: random.Random) -> bytes:
        """A random id that falls into that bucket."""
        distance = (1 << (index - 1)) | rng.getrandbits(index - 1) if index > 1 else 1
        return int(self.node.long_id ^ distance).to_bytes(20, "big")

    def sizes(self) -> dict[int, int]:
        """How many nodes each bucket that has any holds, by index."""
        return {index: len(self.buckets[index].nodes) for index in self._indexes}

    # ---- inside --------------------------------------------------------------------------------

    def _index(self, node_id: bytes) -> int:
        return int(self.node.long_id ^ int.from_bytes(node_id, "big")).bit_length()

    def _groups(self, wanted: int) -> Iterator[list[tuple[int, Contact]]]:
        """Nameable contacts with their ids as numbers, in groups each of which is closer than the next."""
        own = int(self.node.long_id ^ wanted).bit_length()
        position = bisect_left(self._indexes, own)
        above = position
        if position < len(self._indexes) and self._indexes[position] == own:
            yield self._rows_of(own)
            above += 1
        if position:
            yield [row for index in self._indexes[:position] for row in self._rows_of(index)]
        for index in self._indexes[above:]:
            yield self._rows_of(index)

    def _rows_of(self, index: int) -> list[tuple[int, Contact]]:
        rows = self._rows.get(index)
        if rows is None:
            rows = self._rows[index] = [
                (node.long_id, node.contact)
                for node in self.buckets[index].nodes.values()
                if node.failures < UNNAMED_AFTER_FAILURES
            ]
        return rows

    def _changed(self, index: int) -> None:
        """Answers that name this bucket's nodes may differ from now on."""
        self._rows.pop(index, None)
        self.version += 1

    def _active(self, contact: Contact) -> TableNode | None:
        node = self._by_address.get(contact.address)
        if node is None or node.id != contact.node_id:
            return None
        bucket = self.buckets[self._index(node.id)]
        return node if node.id in bucket.nodes else None

    def _fits(self, index: int, address: Address) -> bool:
        local = self._bucket_diversity.get(index)
        return self._diversity.fits(address) and (local is None or local.fits(address))

    def _renew(self, node: TableNode, now: float) -> bool:
        index = self._index(node.id)
        if node.failures >= UNNAMED_AFTER_FAILURES:
            self._changed(index)
        node.failures = 0
        node.last_seen = now
        self._checked.pop(node.id, None)
        bucket = self.buckets[index]
        waiting = node.id in bucket.replacement_nodes and len(bucket.nodes) >= bucket.ksize
        if waiting:
            bucket.replacement_nodes.move_to_end(node.id)
            return False
        if bucket.replacement_nodes.pop(node.id, None) is not None:
            self._changed(index)
        bucket.nodes[node.id] = node
        bucket.nodes.move_to_end(node.id)
        return True

    def _drop(self, node: TableNode) -> None:
        index = self._index(node.id)
        bucket = self.buckets[index]
        bucket.remove_node(node)
        del self._by_address[node.contact.address]
        self._checked.pop(node.id, None)
        self._diversity.remove(node.contact.address)
        if index in self._bucket_diversity:
            self._bucket_diversity[index].remove(node.contact.address)
        if not bucket.nodes:
            self._indexes.remove(index)
        self._changed(index)


@lru_cache(maxsize=65536)
def _possible(contact: Contact) -> bool:
    """Whether a contact may be in a global scope: its port, and its id for its address."""
    return port_allowed(contact.address.port) and is_bound(contact.node_id, contact.address.host)
