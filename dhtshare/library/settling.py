"""Which files of a watched folder are ready to be shared, and which are gone. Pure: sees snapshots, not disks.

A file that is being written is left alone until its size and time have rested, so that no half of it is
published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

REST_SECONDS = 2.0
RETRY_SECONDS = 60.0

Stamp = tuple[int, int]
"""Size in bytes and mtime_ns."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Files to publish now, and files to withdraw, both in the order of their paths."""

    take: list[Path]
    drop: list[Path]


class Settling:
    """Invariant: a file is taken once for each state that rested, and dropped once after it was taken."""

    def __init__(self, known: Iterable[tuple[Path, Stamp]] = (), rest: float = REST_SECONDS) -> None:
        """`known` are files that are shared already, as they were when they were hashed."""
        self._rest = rest
        self._taken: dict[Path, Stamp] = dict(known)
        self._waiting: dict[Path, tuple[Stamp, float]] = {}

    def scanned(self, snapshot: Mapping[Path, Stamp], now: float) -> Decisions:
        """What to do after a look at the folder; `now` is monotonic, in seconds."""
        take: list[Path] = []
        for path, stamp in snapshot.items():
            if self._taken.get(path) == stamp:
                self._waiting.pop(path, None)
                continue
            seen, since = self._waiting.get(path, (None, now))
            if seen != stamp:
                self._waiting[path] = (stamp, now)
            elif now - since >= self._rest:
                del self._waiting[path]
                self._taken[path] = stamp
                take.append(path)
        drop = [path for path in self._taken if path not in snapshot]
        for path in drop:
            del self._taken[path]
        self._waiting = {path: seen for path, seen in self._waiting.items() if path in snapshot}
        return Decisions(sorted(take), sorted(drop))

    def failed(self, path: Path, now: float) -> None:
        """Publishing it failed, perhaps for want of permission: it is tried again in a while, or when it changes."""
        stamp = self._taken.pop(path, None)
        if stamp is not None:
            self._waiting[path] = (stamp, now + RETRY_SECONDS - self._rest)
