"""Any result object as people read it: for results whose fields grow with the network's inside.

Known names get units; what is nested gets a heading or a table. A new field shows up by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dhtshare.cli.blocks import Block, Column, Fields, Line, Table
from dhtshare.cli.display import human_limit, human_rate, human_seconds, human_size

_SIZES = frozenset(
    {"size", "bytes", "memory", "rss", "downloaded", "uploaded", "discarded", "reused", "sent", "received"}
)
_RATES = frozenset({"rate", "upload", "download", "upload_rate", "download_rate"})
_LIMITS = frozenset({"max_upload", "max_download"})
_SECONDS = frozenset({"seconds", "uptime", "age", "rtt", "last_seen", "renews_in"})
_MOMENTS = frozenset({"next_renewal", "clock", "added"})  # Unix times


def object_view(result: Mapping[str, Any]) -> list[Block]:
    """The whole object: plain values first, then what is nested, in the object's own order."""
    return list(_blocks("", result))


def shown(name: str, value: Any) -> str:
    """One value with its unit, which follows from its field's name."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if name in _SIZES or name.endswith("_bytes"):
            return human_size(value)
        if name in _LIMITS:
            return human_limit(value)
        if name in _RATES or name.endswith("_rate"):
            return human_rate(value)
        if name in _SECONDS or name.endswith("_seconds"):
            return human_seconds(value)
        if name in _MOMENTS:
            return datetime.fromtimestamp(value).astimezone().isoformat(" ", "seconds")
        return str(value) if isinstance(value, int) else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(shown("", item) for item in value) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{_label(key)} {shown(key, inner)}" for key, inner in value.items()) or "–"
    return str(value)


def records_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """One row per object, one column per field that any of them has."""
    names = list(dict.fromkeys(name for record in records for name in record))
    numeric = {name for name in names if all(_is_number(record.get(name)) for record in records)}
    columns = [Column(_label(name), right=name in numeric) for name in names]
    return Table(columns, [[shown(name, record.get(name)) for name in names] for record in records])


def _blocks(heading: str, result: Mapping[str, Any]) -> Iterator[Block]:
    flat = [(_label(name), shown(name, value)) for name, value in result.items() if not _is_nested(value)]
    if heading:
        yield Line(heading, "bold")
    if flat:
        yield Fields(flat)
    for name, value in result.items():
        if not _is_nested(value):
            continue
        inner = f"{heading} {_label(name)}".strip()
        if isinstance(value, Mapping):
            yield from _blocks(inner, value)
        else:
            yield Line(inner, "bold")
            yield records_table(value)


def _is_nested(value: Any) -> bool:
    if isinstance(value, dict):
        return not all(name.isdigit() for name in value)  # counts by number, such as buckets, fit on a line
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _label(name: str) -> str:
    return name.replace("_", " ")
