"""`dhtshare info`: what content is, without fetching any of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dhtshare.cli.blocks import Block, Column, Fields, Line, Table
from dhtshare.cli.display import counted, human_size, visible
from dhtshare.cli.options import JoinOptions, option
from dhtshare.cli.session import Session
from dhtshare.errors import UsageError

HASH_DIGITS = 64
LINK_PREFIX = "dhtshare:"
SHOWN_PARTS = 3


def info(
    session: Session,
    join: JoinOptions,
    target: Annotated[str, typer.Argument(metavar="TARGET|PATH", help="Hash, link, row number, or a path here.")],
    timeout: Annotated[float | None, option("--timeout", metavar="S", help="Seconds at most.")] = None,
) -> int:
    """Show what a hash, link or path is: its size, files, chunks, and who has it."""
    if is_path(target):
        path = Path(target).absolute()
        if not path.exists():
            what = f"'{target}' is no hash, no link and no row number, and there is no such file or folder."
            raise UsageError(f"{what} Copy the hash or link again, or check the path.")
        return session.ask_offline("info", {"target": str(path), "timeout": timeout}, described)
    return session.ask("info", {"target": target, "timeout": timeout}, described, join)


def is_path(target: str) -> bool:
    """Whether a target names something on this disk. A number is a row, 64 hex digits are a hash; `./7` is a path."""
    if target.startswith(LINK_PREFIX) or (target.isascii() and target.isdigit()):
        return False
    return len(target) != HASH_DIGITS or not set(target.lower()) <= set("0123456789abcdef")


def described(result: dict[str, Any]) -> list[Block]:
    """One content, and the files of a collection."""
    pairs = [
        ("hash", result["hash"]),
        ("link", result["link"]),
        ("kind", result["kind"]),
        ("size", human_size(result["size"])),
        ("files", str(result["files"])),
        ("chunks", str(result["chunks"])),
    ]
    if result.get("providers") is not None:
        pairs.append(("available", availability(result)))
    if result.get("keywords"):
        pairs.append(("found by", " ".join(result["keywords"])))
    blocks: list[Block] = [Line(str(result.get("name") or result["hash"]), "bold"), Fields(pairs)]
    if entries := result.get("entries"):
        rows = [(entry["path"], human_size(entry["size"]) if "size" in entry else "") for entry in entries]
        blocks.append(Table((Column("path"), Column("size", right=True)), rows))
    return blocks


def availability(result: dict[str, Any]) -> str:
    """'3 peers answered: 2 full copies, rarest chunk 3 times', or what nobody has."""
    said = f"{counted(result['providers'], 'peer')} answered"
    if not result["providers"]:
        return said
    copies = counted(result["full_copies"], "full copy", "full copies")
    missing = result.get("missing_everywhere", 0)
    if not missing:
        return f"{said}: {copies}, rarest chunk {counted(result['rarest'], 'time')}"
    parts = [
        f"{visible(part.get('path', ''))} {human_size(part['begin'])} to {human_size(part['end'])}".strip()
        for part in result["missing"][:SHOWN_PARTS]
    ]
    more = ", …" if len(result["missing"]) > SHOWN_PARTS else ""
    lacking = f"nobody has {counted(missing, 'chunk')} of {result['chunks']}"
    return f"{said}: {copies}, {lacking}" + (f" ({', '.join(parts)}{more})" if parts else "")
