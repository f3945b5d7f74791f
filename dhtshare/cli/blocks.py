"""What a result says to people, before anything knows whether it goes to a terminal.

Views build these from a result object; `plain` and `coloured` lay them out. Both pass every text
through `display.visible`, so a view may put foreign names in as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence or heading. `style` is a rich style, of no account in plain text."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Fields:
    """Labels and values, one pair a line."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; numbers stand to the right."""

    title: str
    right: bool = False
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


Block = Line | Fields | Table
View = Callable[[dict[str, Any]], Sequence[Block]]
