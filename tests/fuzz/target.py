"""What a fuzz target is: any bytes go in; out comes nothing, or the assertion that was broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOUND = Path(__file__).parent / "inputs"


@dataclass(frozen=True)
class Target:
    """One decoder. `check` swallows the errors that the decoder may raise and lets all others through.

    `seeds` are well-formed inputs: mutated they reach deeper than noise does.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]

    @property
    def folder(self) -> Path:
        """Where inputs that once broke it are kept, one a file."""
        return FOUND / self.name

    def found(self) -> list[Path]:
        return sorted(self.folder.glob("*")) if self.folder.is_dir() else []
