"""Which records a searcher's lookup tries to find again, and which holders are asked to show the others. Pure.

A holder that is asked what it keeps tells by one datagram of many records whether it lost or never kept them. It does
not tell that a stranger's lookup comes to it, nor that it shows to strangers what it shows to the publisher. So one
record of each bundle, drawn at random, is looked up as a searcher does, and where that fails none of its bundle
counts as read back by what holders say. A bundle never reaches over the region of one lookup: the records of
a few files lie far apart, and each of them is looked up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from dhtshare.dht.contact import Contact

BUNDLE = 32  # records of a region, at most, of which one is looked up
ASKED_HOLDERS = 3  # of those that said to keep a record, one after the other until one shows it
SINGLY_AT_MOST = 64  # records of bundles that failed are looked up each; more, and it waits for the next renewal

T = TypeVar("T")


def bundles(region: Sequence[T]) -> Iterator[Sequence[T]]:
    """The records of a region, in the order of their keys, in parts of about one size."""
    count = -(-len(region) // BUNDLE)
    for number in range(count):
        yield region[len(region) * number // count : len(region) * (number + 1) // count]


def cover(records: Collection[T], kept_by: Callable[[T], Collection[Contact]]) -> dict[Contact, list[T]]:
    """Few holders that said to keep these records, all together, and what each of them is asked for.

    Greedy: whoever keeps most of what is left comes first. Records that nobody keeps are left out.
    """
    left: defaultdict[Contact, dict[T, None]] = defaultdict(dict)
    for record in records:
        for contact in kept_by(record):
            left[contact][record] = None
    chosen: dict[Contact, list[T]] = {}
    while left:
        contact = max(left, key=lambda holder: len(left[holder]))
        taken = left.pop(contact)
        if not taken:
            break
        chosen[contact] = list(taken)
        for record in taken:
            for other in kept_by(record):
                if other in left:
                    left[other].pop(record, None)
    return chosen
