"""What was asked of the network, and what came of it: successes, failures that an injected fault explains, faults."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

MOST_EXPLAINED = 0.1  # of what was asked of one kind
LEAST_ASKED = 3  # of each kind that counts: a soak in which nobody fetched shows nothing
COUNTED = ("publish", "search", "fetch")


class Tally:
    """Outcomes by kind. A failure without a cause is a fault; too many with one are, too."""

    def __init__(self) -> None:
        self._succeeded: Counter[str] = Counter()
        self._explained: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._faults: list[str] = []

    def succeeded(self, kind: str, times: int = 1) -> None:
        self._succeeded[kind] += times

    def failed(self, kind: str, detail: str, cause: str | None) -> None:
        """`cause`: the fault that the soak itself injected and that explains this one; None: there is none."""
        if cause is None:
            self.fault(f"{kind} failed and nothing explains it: {detail}")
        else:
            self._explained[kind][cause] += 1

    def fault(self, what: str) -> None:
        """Something that may not be, whatever was injected."""
        self._faults.append(what)

    def faults(self) -> list[str]:
        """All of them, with what the counts themselves show."""
        found = list(self._faults)
        for kind in COUNTED:
            succeeded, explained = self._succeeded[kind], self._explained[kind].total()
            if succeeded < LEAST_ASKED:
                found.append(f"only {succeeded} times a {kind} succeeded: too few to say anything")
            if explained > max(1, MOST_EXPLAINED * (succeeded + explained)):
                found.append(f"{explained} of {succeeded + explained} times a {kind} failed, if explained")
        return found

    def report(self) -> dict[str, Any]:
        kinds = sorted({*self._succeeded, *self._explained})
        return {kind: {"succeeded": self._succeeded[kind], "explained": dict(self._explained[kind])} for kind in kinds}
