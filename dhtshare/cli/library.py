"""`dhtshare list` and `verify`: what this home holds, and whether the disk still agrees."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dhtshare.cli.blocks import Block, Column, Line, Table
from dhtshare.cli.display import counted, human_size
from dhtshare.cli.objects import object_view
from dhtshare.cli.options import option
from dhtshare.cli.session import Session

SHOWN_HASH_DIGITS = 12


def list_items(
    session: Session,
    members: Annotated[bool, option("--members", help="Also the files announced as parts of folders.")] = False,
) -> int:
    """Show what this home shares and stores."""
    return session.ask_offline("list", {"members": members}, items)


def verify(
    session: Session,
    hash: Annotated[str | None, typer.Argument(metavar="[HASH]", help="Only this content.", show_default=False)] = None,
) -> int:
    """Hash everything in the library again and report what differs."""
    return session.ask_offline("verify", {"hash": hash}, object_view)


def items(result: dict[str, Any]) -> list[Block]:
    """The library as a table."""
    if not result["items"]:
        return [Line("The library is empty. Share something with: dhtshare publish PATH", "dim")]
    columns = (
        Column("name"),
        Column("size", right=True),
        Column("state"),
        Column("hash", style="dim"),
        Column("path", style="dim"),
    )
    rows = [
        (
            str(item["name"]) + ("/" if item.get("kind") == "collection" else ""),
            human_size(item.get("size") or 0),
            str(item["state"]),
            str(item["hash"])[:SHOWN_HASH_DIGITS],
            str(item.get("path") or ""),
        )
        for item in result["items"]
    ]
    warnings = [Line(text, "yellow") for text in result.get("warnings", ())]
    return [Table(columns, rows), Line(counted(len(rows), "item"), "dim"), *warnings]
