"""How the figures of a demo look to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dhtshare.cli.blocks import Block, Column, Line, Table
from dhtshare.cli.display import counted, human_seconds, human_size


def demo_view(result: dict[str, Any]) -> Sequence[Block]:
    """Who gave what of the generated file, and the verdict."""
    fetch = result["fetch"]
    return [
        Line(f"Who gave what of {human_size(fetch['size'])}:", "bold"),
        Table(
            [Column("node"), Column("address"), *(Column(title, right=True) for title in ("chunks", "bytes", "share"))],
            [
                [
                    source["node"],
                    source["address"],
                    str(source["chunks"]),
                    human_size(source["bytes"]),
                    f"{100 * source['bytes'] / max(fetch['size'], 1):.0f} %",
                ]
                for source in sorted(fetch["sources"], key=lambda source: str(source["node"]))
            ],
        ),
        Line(
            f"OK: {counted(result['nodes'], 'node')}, {counted(result['published'], 'item')} published, found and "
            f"verified in {human_seconds(result['seconds'])}.",
            "bold green",
        ),
    ]
