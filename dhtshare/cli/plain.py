"""Blocks as plain lines: for pipes and files, and where nothing else is wanted. Imports no rich."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from dhtshare.cli.blocks import Block, Column, Fields, Line, Table
from dhtshare.cli.display import visible

_GAP = "  "


def plain_lines(blocks: Iterable[Block]) -> Iterator[str]:
    """The lines of these blocks, without line ends and without any control character."""
    for block in blocks:
        match block:
            case Line(text):
                yield visible(text)
            case Fields(pairs):
                width = max((cell_width(label) for label, _ in pairs), default=0)
                for label, value in pairs:
                    yield f"{_pad(label, width, right=False)}{_GAP}{visible(value)}".rstrip()
            case Table(columns, rows):
                yield from _table(columns, rows)


def cell_width(text: str) -> int:
    """How many columns of a terminal `text` takes: two for wide letters, none for combining marks."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [
        max([cell_width(column.title), *(cell_width(row[number]) for row in shown)])
        for number, column in enumerate(columns)
    ]
    for row in ([column.title for column in columns], *shown):
        cells = zip(row, widths, columns, strict=True)
        yield _GAP.join(_pad(cell, width, right=column.right) for cell, width, column in cells).rstrip()


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_width(text))
    return space + text if right else text + space
