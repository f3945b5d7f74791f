"""The k contacts of a table that are closest to a target, exactly. Pure; it names, and decides nothing else.

Buckets are indexed by the bit length of the XOR distance to ourselves. All of the target's own bucket is
closer to it than all of the buckets below together, and those are closer than each bucket above, one after
the other. So whole groups are taken, and only the last one taken has to be cut.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

from dhtshare.dht.adapter import Bucket
from dhtshare.dht.contact import Contact, Row
from dhtshare.network import is_loopback

UNNAMED_AFTER_FAILURES = 2  # who failed so often is not told to others until it answers


class Closest:
    """Answers for the buckets of one table, which says `changed` whenever one is not as it was."""

    __slots__ = ("_buckets", "_own", "_rows", "indexes", "version")

    def __init__(self, own: int, buckets: Mapping[int, Bucket]) -> None:
        self._own = own
        self._buckets = buckets
        self._rows: dict[int, list[Row]] = {}
        self.indexes: list[int] = []  # of buckets that hold nodes, ascending
        self.version = 0  # grows with every change that could change an answer

    def changed(self, index: int) -> None:
        """Answers that name this bucket's nodes may differ from now on."""
        self._rows.pop(index, None)
        self.version += 1
        position = bisect_left(self.indexes, index)
        listed = self.indexes[position : position + 1] == [index]
        if listed and not self._buckets[index].nodes:
            del self.indexes[position]
        elif not listed and self._buckets[index].nodes:
            insort(self.indexes, index)

    def nearest(self, target: bytes, count: int, *, loopback: bool) -> list[Contact]:
        """The `count` closest nameable contacts, closest first; loopback addresses among them only if so."""
        wanted = int.from_bytes(target, "big")
        found: list[Contact] = []
        for group in self._groups(wanted):
            rows = sorted([(number ^ wanted, contact) for number, contact, _ in group])
            if not loopback:
                rows = [row for row in rows if not is_loopback(row[1].address.host)]
            found += [contact for _, contact in rows[: count - len(found)]]
            if len(found) == count:
                break
        return found

    def _groups(self, wanted: int) -> Iterator[list[Row]]:
        """Nameable contacts in groups each of which is closer than the next."""
        indexes = self.indexes
        index = (self._own ^ wanted).bit_length()
        above = below = bisect_left(indexes, index)
        if above < len(indexes) and indexes[above] == index:
            yield self.rows(index)
            above += 1
        if below:
            yield [row for nearer in indexes[:below] for row in self.rows(nearer)]
        for farther in indexes[above:]:
            yield self.rows(farther)

    def rows(self, index: int) -> list[Row]:
        """Those of a bucket that may be named. The same list until it changes."""
        rows = self._rows.get(index)
        if rows is None:
            rows = self._rows[index] = [
                node.row for node in self._buckets[index].nodes.values() if node.failures < UNNAMED_AFTER_FAILURES
            ]
        return rows
