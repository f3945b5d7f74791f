"""`dhtshare search`: find content by the words of its name."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from dhtshare.cli.blocks import Block, Column, Line, Table
from dhtshare.cli.display import counted, human_seconds, human_size
from dhtshare.cli.options import JoinOptions, option
from dhtshare.cli.session import Session
from dhtshare.cli.sizes import size

SHOWN_HASH_DIGITS = 12


class Kind(enum.StrEnum):
    """What a hit can be."""

    FILE = "file"
    COLLECTION = "collection"


def search(
    session: Session,
    join: JoinOptions,
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="All of them must match, in any order.")],
    limit: Annotated[int | None, option("--limit", metavar="N", help="Most hits to show.")] = None,
    kind: Annotated[Kind | None, option("--kind", help="Only files, or only folders.")] = None,
    ext: Annotated[str | None, option("--ext", metavar="EXT", help="Only names that end so, such as mp3.")] = None,
    min_size: Annotated[str | None, option("--min-size", metavar="SIZE", help="Only from this size on.")] = None,
    max_size: Annotated[str | None, option("--max-size", metavar="SIZE", help="Only up to this size.")] = None,
    timeout: Annotated[float | None, option("--timeout", metavar="S", help="Seconds at most.")] = None,
) -> int:
    """Find files and folders by the words of their names."""
    args = {
        "words": words,
        "limit": limit,
        "kind": None if kind is None else str(kind),
        "ext": ext,
        "min_size": size(min_size),
        "max_size": size(max_size),
        "timeout": timeout,
    }
    return session.ask("search", args, hits, join)


def hits(result: dict[str, Any]) -> list[Block]:
    """The numbered table; the numbers are what `fetch` takes."""
    took = f"{counted(result['nodes_asked'], 'node')} asked, {human_seconds(result['seconds'])}"
    if not result["results"]:
        return [Line(f"No hits  ({took})", "dim")]
    columns = (
        Column("#", right=True, style="cyan"),
        Column("name"),
        Column("size", right=True),
        Column("peers", right=True, style="green"),
        Column("publishers", right=True),
        Column("hash", style="dim"),
    )
    rows = [hit_row(number, hit) for number, hit in enumerate(result["results"], start=1)]
    return [
        Table(columns, rows),
        Line(f"{counted(len(rows), 'hit')}  ({took}). Get one with: dhtshare fetch NUMBER", "dim"),
    ]


def hit_row(number: int, hit: dict[str, Any]) -> tuple[str, ...]:
    """One row; a folder is marked by a slash, providers that nobody counted by a question mark."""
    name = hit["name"] + ("/" if hit["kind"] == "collection" else "")
    others = [other for other in hit["names"] if other != hit["name"]]
    if others:
        name += f"  (also {', '.join(others[:2])}{' …' if len(others) > 2 else ''})"
    providers = "?" if hit["providers"] is None else str(hit["providers"])
    return (
        str(number),
        name,
        human_size(hit["size"]),
        providers,
        str(hit["publishers"]),
        hit["hash"][:SHOWN_HASH_DIGITS],
    )
