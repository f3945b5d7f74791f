"""Who takes part in a soak: homes whose nodes come and go, and what each of them shares."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import Home, Node

DISTURBED_SECONDS = 20.0  # after a fault its traces may still show: contacts and announcements are renewed


@dataclass(slots=True, eq=False)
class Content:
    """Something published, and the digest of its true bytes."""

    hash: str
    word: str
    path: Path
    digest: str
    owner: Member
    damaged: bool = False


@dataclass(slots=True, eq=False)
class Member:
    """One home and, while it is up, its node. `now` is monotonic, seconds."""

    name: str
    home: Home
    folder: Path
    steady: bool
    node: Node | None = None
    contents: list[Content] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)  #: what it was asked to publish and did not acknowledge
    frozen: bool = False
    back_at: float = 0.0  #: when whoever is down or frozen comes back
    _disturbed: tuple[float, str] | None = None

    @property
    def up(self) -> bool:
        """Whether it can be asked."""
        return self.node is not None and not self.frozen

    @property
    def pid(self) -> int:
        assert self.node is not None
        return self.node.running.process.pid

    def disturb(self, how: str) -> None:
        """An injected fault strikes it now."""
        self._disturbed = (time.monotonic(), how)

    def disturbance(self) -> str | None:
        """The injected fault whose traces may still show; None where there is none."""
        if self._disturbed is None or time.monotonic() - self._disturbed[0] > DISTURBED_SECONDS:
            return None
        return self._disturbed[1]

    def freeze(self, seconds: float) -> None:
        assert self.node is not None
        self.node.running.signal(signal.SIGSTOP)
        self.frozen, self.back_at = True, time.monotonic() + seconds
        self.disturb("frozen")

    def thaw(self) -> None:
        assert self.node is not None
        self.node.running.signal(signal.SIGCONT)
        self.frozen = False
        self.disturb("frozen")
