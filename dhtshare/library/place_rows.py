"""Rows of the files on this disk: what was hashed where, and whether it still lies there.

Functions over an open transaction; the catalogue owns the transaction and the lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection

from dhtshare.content.descriptor import content_hash
from dhtshare.library.records import Place, State, StoredPlace

_COLUMNS = "place.id, place.path, place.size, place.mtime_ns, content.hash, place.state"
_KEYS_AT_ONCE = 500  # SQLite before 3.32 takes 999 values a statement
ONE_CHUNK_BYTES = 32 + 24  # the longest descriptor of a file of one chunk: its hash, and what stands around it
_FROM = "FROM place JOIN content ON content.id = place.content"


def put_content(tx: Connection, descriptor: bytes, claimed: bytes | None = None) -> tuple[int, bool]:
    """The row id of the content of this descriptor, and whether it was known. `claimed` saves hashing it again."""
    key = content_hash(descriptor) if claimed is None else claimed
    row = tx.execute("SELECT id FROM content WHERE hash = ?", (key,)).fetchone()
    if row is not None:
        return int(row[0]), True
    row = tx.execute("INSERT INTO content (hash, descriptor) VALUES (?, ?) RETURNING id", (key, descriptor)).fetchone()
    return int(row[0]), False


def put_place(tx: Connection, place: Place, content: int, known: bool) -> tuple[int, list[int]]:
    """Notes that this content lies there now. Its row id, and the `known` contents for which that may be news."""
    path = os.fsencode(place.path)
    news = [content] if known else []
    row = tx.execute("SELECT id, content FROM place WHERE path = ?", (path,)).fetchone()
    if row is None:
        statement = "INSERT INTO place (content, path, size, mtime_ns, state) VALUES (?, ?, ?, ?, ?) RETURNING id"
        values = (content, path, place.size, place.mtime_ns, State.SHARED)
        return int(tx.execute(statement, values).fetchone()[0]), news
    tx.execute(
        "UPDATE place SET content = ?, size = ?, mtime_ns = ?, state = ? WHERE id = ?",
        (content, place.size, place.mtime_ns, State.SHARED, row[0]),
    )
    return int(row[0]), [*news, int(row[1])]


def known(tx: Connection, place: Place) -> bytes | None:
    """The content hash of this very file, if nothing about it changed since it was hashed."""
    row = tx.execute(
        f"SELECT content.hash {_FROM} WHERE path = ? AND size = ? AND mtime_ns = ? AND state = ?",
        (os.fsencode(place.path), place.size, place.mtime_ns, State.SHARED),
    ).fetchone()
    return None if row is None else bytes(row[0])


def of_content(tx: Connection, key: bytes) -> list[StoredPlace]:
    """Every place where a content lies or lay, those that still hold it first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE content.hash = ? ORDER BY place.state <> ?, place.id",
        (key, State.SHARED),
    )
    return [_stored(row)[1] for row in rows]


def of_contents(tx: Connection, keys: Sequence[bytes]) -> list[StoredPlace]:
    """The places of any number of contents, those of one in the same order."""
    found: list[StoredPlace] = []
    for some in batches(keys):
        marks = ",".join("?" * len(some))
        rows = tx.execute(
            f"SELECT {_COLUMNS} {_FROM} WHERE content.hash IN ({marks}) ORDER BY place.state <> ?, place.id",
            (*some, State.SHARED),
        )
        found += [_stored(row)[1] for row in rows]
    return found


def descriptors(tx: Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Those descriptors that are here, by content hash."""
    found: dict[bytes, bytes] = {}
    for some in batches(keys):
        marks = ",".join("?" * len(some))
        statement = f"SELECT hash, descriptor FROM content WHERE hash IN ({marks})"  # noqa: S608 - question marks
        found.update(tx.execute(statement, some).fetchall())
    return found


def larger_descriptors(tx: Connection, after: int, limit: int) -> list[tuple[int, bytes]]:
    """The next descriptors of contents with a place here and more than one chunk, with their row ids."""
    return tx.execute(
        "SELECT id, descriptor FROM content WHERE id > ? AND length(descriptor) > ? "
        "AND EXISTS (SELECT 1 FROM place WHERE place.content = content.id) ORDER BY id LIMIT ?",
        (after, ONE_CHUNK_BYTES, limit),
    ).fetchall()


def batches(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """As many keys as one statement takes comfortably."""
    for at in range(0, len(keys), _KEYS_AT_ONCE):
        yield keys[at : at + _KEYS_AT_ONCE]


def page(tx: Connection, after: int, limit: int) -> list[tuple[int, StoredPlace]]:
    """The next places in order of their row ids, with these."""
    rows = tx.execute(f"SELECT {_COLUMNS} {_FROM} WHERE place.id > ? ORDER BY place.id LIMIT ?", (after, limit))
    return [_stored(row) for row in rows]


def mark(tx: Connection, states: Iterable[tuple[Path, State]]) -> set[int]:
    """Sets the state of places. The row ids of the contents for which that is news."""
    touched: set[int] = set()
    for path, state in states:
        rows = tx.execute(
            "UPDATE place SET state = ? WHERE path = ? AND state <> ? RETURNING content",
            (state, os.fsencode(path), state),
        ).fetchall()
        touched.update(int(row[0]) for row in rows)
    return touched


def confirm(tx: Connection, places: Iterable[Place]) -> set[int]:
    """Notes that these files were hashed again and hold what they held. The contents for which that is news."""
    touched: set[int] = set()
    for place in places:
        path = os.fsencode(place.path)
        row = tx.execute("SELECT content, state FROM place WHERE path = ?", (path,)).fetchone()
        if row is None:
            continue
        tx.execute(
            "UPDATE place SET size = ?, mtime_ns = ?, state = ? WHERE path = ?",
            (place.size, place.mtime_ns, State.SHARED, path),
        )
        if row[1] != State.SHARED:
            touched.add(int(row[0]))
    return touched


def _stored(row: tuple[int, bytes, int, int, bytes, str]) -> tuple[int, StoredPlace]:
    number, path, size, mtime_ns, key, state = row
    return number, StoredPlace(Path(os.fsdecode(path)), size, mtime_ns, key, State(state))
