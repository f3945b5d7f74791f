"""`dhtshare publish` and `unpublish`: what this home shares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dhtshare.cli.blocks import Block, Fields, Line
from dhtshare.cli.display import counted, human_size
from dhtshare.cli.options import JoinOptions, option
from dhtshare.cli.session import Session


def publish(
    session: Session,
    join: JoinOptions,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and folders.", show_default=False)],
    keyword: Annotated[
        list[str] | None, option("--keyword", "-k", metavar="WORD", help="Word to be found by; repeatable.")
    ] = None,
    name: Annotated[str | None, option("--name", metavar="NAME", help="Name to publish it under.")] = None,
    each: Annotated[bool, option("--each", help="Announce every file of a folder for itself, too.")] = False,
    no_wait: Annotated[bool, option("--no-wait", help="Do not wait for the network to acknowledge.")] = False,
) -> int:
    """Share files or folders where they lie, and announce them."""
    args = {
        "paths": [str(path.absolute()) for path in paths],
        "keywords": keyword or [],
        "name": name,
        "each": each,
        "wait": not no_wait,
    }
    return session.ask("publish", args, published, join, stay=True)


def unpublish(
    session: Session,
    join: JoinOptions,
    hash: Annotated[
        str, typer.Argument(metavar="HASH", help="What `publish` or `list` showed; the link will do, too.")
    ],
) -> int:
    """Stop sharing; the files stay where they are."""
    return session.ask("unpublish", {"hash": hash}, unpublished, join)


def published(result: dict[str, Any]) -> list[Block]:
    """One published path."""
    about = [human_size(result["size"])]
    if result["kind"] == "collection":
        about.insert(0, counted(result["files"], "file"))
    pairs = [
        ("hash", result["hash"]),
        ("link", result["link"]),
        ("found by", " ".join(result["keywords"])),
        ("announced", receipt_sentence(result["receipt"])),
    ]
    return [Line(f"{result['name']}  ({', '.join(about)})", "bold"), Fields(pairs)]


def unpublished(result: dict[str, Any]) -> list[Block]:
    """What `unpublish` withdrew."""
    return [Line(f"{result['hash']} is not shared any more. Its files are untouched.")]


def receipt_sentence(receipt: dict[str, Any] | None) -> str:
    """'7 keys on 20 holders, read back from 18'."""
    if receipt is None:
        return "in the background; see `dhtshare status`"
    if not receipt["holders"]:
        return "as soon as other nodes join: there are none yet"
    return (
        f"{counted(receipt['keys'], 'key')}, {counted(receipt['acks'], 'copy', 'copies')} "
        f"on {counted(receipt['holders'], 'holder')}, {receipt['verified']} read back"
    )
