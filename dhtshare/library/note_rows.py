"""Rows of what is worth remembering between two commands: due renewals, search rows, unfinished fetches, facts.

Functions over an open transaction; the catalogue owns the transaction and the lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from sqlite3 import Connection

from dhtshare.errors import UsageError
from dhtshare.library.records import DueTime, Kind, SearchRow, UnfinishedFetch


def set_due(tx: Connection, times: Iterable[DueTime]) -> None:
    """Notes when records are due; of contents that are not known here nothing is kept."""
    tx.executemany(
        "INSERT OR REPLACE INTO due (content, record, at) SELECT id, ?2, ?3 FROM content WHERE hash = ?1",
        ((due.content_hash, due.record, due.at) for due in times),
    )


def due_times(tx: Connection) -> list[DueTime]:
    """All of them, the earliest first."""
    rows = tx.execute("SELECT hash, record, at FROM due JOIN content ON content.id = due.content ORDER BY at")
    return [DueTime(*row) for row in rows]


def clear_due(tx: Connection, keys: Iterable[bytes]) -> None:
    """Forgets when the records of these contents are due."""
    tx.executemany("DELETE FROM due WHERE content = (SELECT id FROM content WHERE hash = ?)", ((key,) for key in keys))


def save_search(tx: Connection, rows: Sequence[SearchRow]) -> None:
    """Replaces the numbered rows, which start at 1."""
    tx.execute("DELETE FROM search_row")
    tx.executemany(
        "INSERT INTO search_row VALUES (?, ?, ?, ?, ?)",
        (
            (number, row.content_hash, row.name.encode(errors="replace").decode(), row.size, row.kind)
            for number, row in enumerate(rows, 1)
        ),
    )


def search_row(tx: Connection, number: int) -> SearchRow:
    """Row `number` of the last search. Raises UsageError, which says what there is."""
    row = tx.execute("SELECT hash, name, size, kind FROM search_row WHERE number = ?", (number,)).fetchone()
    if row is None:
        (last,) = tx.execute("SELECT count(*) FROM search_row").fetchone()
        known = f"the last search had rows 1 to {last}" if last else "there was no search with hits yet"
        raise UsageError(f"There is no row {number}: {known}. Search again, or name a hash or link.")
    return SearchRow(row[0], row[1], row[2], Kind(row[3]))


def begin_fetch(tx: Connection, fetch: UnfinishedFetch) -> None:
    """Notes a fetch; the same content again replaces it."""
    tx.execute(
        "INSERT OR REPLACE INTO fetch (hash, kind, name, size, directory, only_globs, started)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            fetch.content_hash,
            fetch.kind,
            fetch.name.encode(errors="replace").decode(),
            fetch.size,
            os.fsencode(fetch.directory),
            json.dumps(fetch.only),
            fetch.started,
        ),
    )


def end_fetch(tx: Connection, key: bytes) -> None:
    """Forgets a fetch, finished or given up."""
    tx.execute("DELETE FROM fetch WHERE hash = ?", (key,))


def fetches(tx: Connection) -> list[UnfinishedFetch]:
    """All that were begun, the oldest first."""
    rows = tx.execute("SELECT hash, kind, name, size, directory, only_globs, started FROM fetch ORDER BY started, hash")
    return [
        UnfinishedFetch(
            content_hash=key,
            kind=Kind(kind),
            name=name,
            size=size,
            directory=Path(os.fsdecode(directory)),
            only=tuple(json.loads(only)),
            started=started,
        )
        for key, kind, name, size, directory, only, started in rows
    ]


def fact(tx: Connection, name: str) -> int:
    """A number kept under a name; 0 when it never was set."""
    row = tx.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def set_fact(tx: Connection, name: str, value: int) -> None:
    """Keeps a number under a name."""
    tx.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))
