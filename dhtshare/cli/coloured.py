"""Blocks on a terminal, by rich. Imported only where there is a terminal: it costs a tenth of a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from dhtshare.cli.blocks import Block, Column, Fields, Line, Table
from dhtshare.cli.display import visible


def terminal(stream: IO[str]) -> Console:
    """A console that takes text literally: no markup, no emoji codes, no guessed highlights. Obeys NO_COLOR."""
    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=False)


def draw(console: Console, blocks: Iterable[Block]) -> None:
    """Print the blocks."""
    for block in blocks:
        console.print(_renderable(block))


def _renderable(block: Block) -> RenderableType:
    match block:
        case Line(text, style):
            return Text(visible(text), style=style)
        case Fields(pairs):
            grid = RichTable.grid(padding=(0, 2))
            grid.add_column(style="dim")
            grid.add_column(overflow="fold")
            for label, value in pairs:
                grid.add_row(Text(label), Text(visible(value)))
            return grid
        case Table(columns, rows):
            return _table(columns, rows)


def _table(columns: Iterable[Column], rows: Iterable[Iterable[str]]) -> RichTable:
    table = RichTable(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style,
            overflow="fold",
            no_wrap=column.right,
        )
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table
