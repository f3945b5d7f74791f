"""What a fuzz target is: any bytes go in; out comes nothing, or the assertion that was broken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOUND = Path(__file__).parent / "inputs"
SLOW_SECONDS = 1.0
"""Of processor time: no decoder takes longer for a few KiB, whatever stands in them."""


@dataclass(frozen=True)
class Target:
    """One decoder. `check` swallows the errors that the decoder may raise and lets all others through.

    `seeds` are well-formed inputs: mutated they reach deeper than noise does.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]

    def run(self, data: bytes) -> None:
        """`check`, and it must not take long: AssertionError."""
        started = time.thread_time()
        self.check(data)
        taken = time.thread_time() - started
        assert taken <= SLOW_SECONDS, f"took {taken:.1f} s"

    @property
    def folder(self) -> Path:
        """Where inputs that once broke it are kept, one a file."""
        return FOUND / self.name

    def found(self) -> list[Path]:
        return sorted(self.folder.glob("*")) if self.folder.is_dir() else []
