"""How large the network is, judged by how close the closest are. Pure.

Among N ids drawn at random the j-th closest to a point lies near j / N of the space, so a finished
lookup tells N = (j - 1) / distance (the unbiased form of Kubo's and of Kamel's estimators). The median
of the last lookups is the estimate. A region far denser than it is a sign that somebody crowds a key.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from dhtshare.dht.contact import ID_BITS, Contact

KEPT_LOOKUPS = 15
MIN_LOOKUPS = 3  # fewer say too little about the network to suspect anybody
_RANKS = (5, 10, 20)
_LOG_CHANCE = math.log(1e-7)  # of a lookup among honest nodes being called suspicious, times a few ranks
_MARGIN = 1.5  # how far the estimate itself may be too low


def size_from(target: bytes, closest: Sequence[Contact], k: int) -> float:
    """The size that the closest to a point tell, closest first; fewer than `k` are all there are."""
    if len(closest) < k or k < 2:
        return len(closest) + 1.0
    share = closest[k - 1].distance_to(target) / (1 << ID_BITS)
    return (k - 1) / share if share else math.inf


class SizeEstimate:
    """The number of nodes of one scope, ourselves included.

    `neighbourhood` is what our own part of the table tells. It counts where it says more, since the
    lookups behind the median may be of a time when the network, or what we knew of it, was smaller.
    """

    __slots__ = ("_estimates",)

    def __init__(self) -> None:
        self._estimates: list[float] = []

    def looked_up(self, target: bytes, closest: Sequence[Contact], k: int) -> None:
        """A complete lookup found these."""
        self._estimates.append(size_from(target, closest, k))
        del self._estimates[:-KEPT_LOOKUPS]

    def nodes(self, neighbourhood: float) -> int:
        """The estimate."""
        middle = statistics.median(self._estimates) if self._estimates else 0.0
        largest = max(middle, neighbourhood)
        return round(largest if math.isfinite(largest) else min(middle, neighbourhood))

    def suspicious(self, target: bytes, closest: Sequence[Contact], neighbourhood: float) -> bool:
        """Whether so many so close to the target are next to impossible in a network of this size."""
        nodes = self.nodes(neighbourhood)
        if len(self._estimates) < MIN_LOOKUPS or nodes <= len(closest):
            return False
        for rank in _RANKS:
            if rank > len(closest):
                break
            expected = _MARGIN * nodes * closest[rank - 1].distance_to(target) / (1 << ID_BITS)
            if expected < rank and _log_tail(expected, rank) < _LOG_CHANCE:
                return True
        return False


def _log_tail(expected: float, count: int) -> float:
    """Chernoff's bound on the logarithm of P(Poisson(expected) >= count), for count > expected."""
    if expected <= 0:
        return -math.inf
    return count - expected - count * math.log(count / expected)
