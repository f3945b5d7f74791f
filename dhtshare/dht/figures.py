"""What a run of many lookups comes to: shares, means and percentiles, for `lab` and for `scripts/scale`. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Figures:
    """One value a lookup, times in seconds. `first`, `hops` and `requests_to_first` only of those that found.

    `silent` counts lookups that found nothing and raised no suspicion: the ones that fool their user.
    """

    first: list[float] = field(default_factory=list)
    hops: list[int] = field(default_factory=list)
    requests_to_first: list[int] = field(default_factory=list)
    complete: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    suspicious: int = 0
    silent: int = 0

    def found(self, seconds: float, hops: int, requests: int) -> None:
        """The first record of a lookup came after so long, by so many answers, when so many requests were out."""
        self.first.append(seconds)
        self.hops.append(hops)
        self.requests_to_first.append(requests)

    def done(self, seconds: float, requests: int, recall: float) -> None:
        """A lookup is over; `recall` is the share of the true closest live nodes that it came back with."""
        self.complete.append(seconds)
        self.requests.append(requests)
        self.recall.append(recall)

    def summary(self, *, nodes: int, seed: int) -> dict[str, Any]:
        """The JSON object of a run. `hops`, `requests`, `requests_to_first` and `recall` are means."""
        lookups = len(self.complete)
        return {
            "nodes": nodes,
            "seed": seed,
            "lookups": lookups,
            "success": round(len(self.first) / lookups, 5) if lookups else None,
            "hops": _mean(self.hops),
            "requests": _mean(self.requests),
            "requests_to_first": _mean(self.requests_to_first),
            "recall": _mean(self.recall),
            "suspicious": self.suspicious,
            "silent": self.silent,
            "first_ms": percentiles(self.first),
            "complete_ms": percentiles(self.complete),
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Nearest-rank percentiles in milliseconds; None each where nothing was measured."""
    ordered = sorted(seconds)
    return {
        name: round(ordered[math.ceil(share * len(ordered)) - 1] * 1000, 1) if ordered else None
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 4) if values else None
