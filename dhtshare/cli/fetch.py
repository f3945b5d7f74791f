"""`dhtshare fetch`: get content from everyone who has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dhtshare.cli.blocks import Block, Column, Line, Table
from dhtshare.cli.display import human_rate, human_seconds, human_size
from dhtshare.cli.options import JoinOptions, option
from dhtshare.cli.session import Session


def fetch(
    session: Session,
    join: JoinOptions,
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET", help="Hashes, links, or row numbers of the last search.")
    ],
    output: Annotated[Path, option("--output", "-o", metavar="DIR", help="Folder to put it in.")] = Path(),
    only: Annotated[
        list[str] | None, option("--only", metavar="GLOB", help="Only these files of a folder; repeatable.")
    ] = None,
    sequential: Annotated[bool, option("--sequential", help="From start to end, to look at it meanwhile.")] = False,
    peer: Annotated[
        list[str] | None, option("--peer", metavar="HOST:PORT", help="Somebody who has it; repeatable.")
    ] = None,
    overwrite: Annotated[bool, option("--overwrite", help="Replace what stands in the way.")] = False,
    rename: Annotated[bool, option("--rename", help="Take another name where one is taken.")] = False,
    seed: Annotated[
        bool | None,
        option("--seed/--no-seed", help="Give it to others afterwards; usual where a node runs.", show_default=False),
    ] = None,
    timeout: Annotated[
        float | None, option("--timeout", metavar="S", help="Seconds without progress after which to give up.")
    ] = None,
) -> int:
    """Fetch files and folders from all peers that have them, and verify them."""
    args = {
        "targets": targets,
        "output": str(output.absolute()),
        "only": only or [],
        "sequential": sequential,
        "peers": peer or [],
        "overwrite": overwrite,
        "rename": rename,
        "seed": seed,
        "timeout": timeout,
    }
    return session.ask("fetch", args, fetched, join, stay=seed is True)


def fetched(result: dict[str, Any]) -> list[Block]:
    """Where it is, what it took, and who gave what."""
    took = f"{human_size(result['size'])} in {human_seconds(result['seconds'])}"
    if result["downloaded"] and result["seconds"] > 0:
        took += f", {human_rate(result['downloaded'] / result['seconds'])}"
    if result["reused"]:
        took += f", {human_size(result['reused'])} of it were here already"
    if result["discarded"]:
        took += f", {human_size(result['discarded'])} thrown away"
    blocks: list[Block] = [Line(result["path"], "bold"), Line(took)]
    if result["sources"]:
        columns = (
            Column("from"),
            Column("chunks", right=True),
            Column("bytes", right=True),
            Column("bad", right=True, style="red"),
        )
        rows = [
            (
                str(source["address"]),
                str(source["chunks"]),
                human_size(source["bytes"]),
                str(source["bad_chunks"] or ""),
            )
            for source in sorted(result["sources"], key=lambda source: -source["bytes"])
        ]
        blocks.append(Table(columns, rows))
    return blocks
