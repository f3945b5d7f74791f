"""Rows of what is shared: items, the members of collections, and the states that follow from their places.

Functions over an open transaction; the catalogue owns the transaction and the lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from dhtshare.library.place_rows import put_content, put_place
from dhtshare.library.records import Item, Kind, NewItem, State

_SELECT = """
SELECT item.content, content.hash, item.kind, item.name, item.path, item.size, item.files, item.chunks,
       item.keywords, item.words, item.state, parent.hash, item.added
FROM item JOIN content ON content.id = item.content LEFT JOIN content AS parent ON parent.id = item.part_of
"""
_UPSERT = """
INSERT INTO item (content, kind, name, path, size, files, chunks, keywords, words, state, part_of, added)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (content) DO UPDATE SET kind = excluded.kind, name = excluded.name, path = excluded.path,
    keywords = excluded.keywords, words = excluded.words, state = excluded.state, part_of = excluded.part_of
"""
#: A member whose bytes lie nowhere any more, with why: a file that became another content counts as changed.
_BAD_MEMBERS = """
SELECT CASE WHEN place.content = member.content THEN place.state ELSE 'changed' END
FROM member JOIN place ON place.id = member.place
WHERE member.collection = ? AND (place.state <> 'shared' OR place.content <> member.content)
  AND NOT EXISTS (SELECT 1 FROM place AS other WHERE other.content = member.content AND other.state = 'shared')
"""


def put(tx: Connection, items: Iterable[NewItem]) -> set[int]:
    """Adds or renews items. The row ids of contents known before that gained or lost a place by it."""
    touched: set[int] = set()
    for item in items:
        content, known = put_content(tx, item.descriptor, item.content_hash)
        if item.place is not None:
            touched.update(put_place(tx, item.place, content, known)[1])
        if item.part_of is not None and _is_shared_for_itself(tx, content):
            continue  # published for itself before: it keeps its own name and words
        parent = None if item.part_of is None else _content_id(tx, item.part_of)
        values = (content, item.kind, _text(item.name), os.fsencode(item.path), item.size, item.files, item.chunks)
        lists = (json.dumps(item.keywords), json.dumps(item.words))
        tx.execute(_UPSERT, (*values, *lists, State.SHARED, parent, item.added))
        if item.kind is Kind.COLLECTION:
            touched |= _put_members(tx, content, item)
        settle(tx, [content])
    return touched


def _put_members(tx: Connection, collection: int, item: NewItem) -> set[int]:
    touched: set[int] = set()
    tx.execute("DELETE FROM member WHERE collection = ?", (collection,))
    for member in item.members:
        content, known = put_content(tx, member.descriptor)
        place, news = put_place(tx, member.place, content, known)
        touched.update(news)
        tx.execute("INSERT INTO member VALUES (?, ?, ?, ?)", (collection, member.number, content, place))
    return touched


def settle(tx: Connection, contents: Iterable[int]) -> list[Item]:
    """Makes the states of these items follow from their places; those whose state is another now. Withdrawn stays."""
    changed: list[Item] = []
    for content in contents:
        row = tx.execute("SELECT kind, state, files FROM item WHERE content = ?", (content,)).fetchone()
        if row is None or row[1] == State.WITHDRAWN:
            continue
        state = _file_state(tx, content) if row[0] == Kind.FILE else _collection_state(tx, content, row[2])
        if state != row[1]:
            tx.execute("UPDATE item SET state = ? WHERE content = ?", (state, content))
            changed += _items(tx, "WHERE item.content = ?", content)
    return changed


def touched_by(tx: Connection, contents: Iterable[int]) -> set[int]:
    """These contents and the collections that they are members of: all whose state may have to change."""
    found: set[int] = set()
    for content in contents:
        found.add(content)
        rows = tx.execute("SELECT DISTINCT collection FROM member WHERE content = ?", (content,))
        found.update(int(row[0]) for row in rows)
    return found


def _file_state(tx: Connection, content: int) -> State:
    states = {row[0] for row in tx.execute("SELECT DISTINCT state FROM place WHERE content = ?", (content,))}
    if State.SHARED in states:
        return State.SHARED
    return State.MISSING if states == {State.MISSING} else State.CHANGED


def _collection_state(tx: Connection, content: int, files: int) -> State:
    bad = {row[0] for row in tx.execute(_BAD_MEMBERS, (content,))}
    if bad:
        return State.CHANGED if State.CHANGED in bad else State.MISSING
    (here,) = tx.execute("SELECT count(*) FROM member WHERE collection = ?", (content,)).fetchone()
    return State.SHARED if here >= files else State.PARTIAL


def withdraw(tx: Connection, key: bytes) -> list[Item]:
    """Withdraws an item and the members that were announced because of it alone, as they were before."""
    content = _content_id(tx, key)
    if content is None:
        return []
    gone = _items(tx, "WHERE item.content = ? AND item.state <> 'withdrawn'", content)
    if not gone:
        return []
    tx.execute("UPDATE item SET state = ?, part_of = NULL WHERE content = ?", (State.WITHDRAWN, content))
    for member in _rows(tx, "WHERE item.part_of = ? AND item.state <> 'withdrawn'", content):
        other = tx.execute(
            "SELECT item.content FROM member JOIN item ON item.content = member.collection"
            " WHERE member.content = ? AND item.state <> 'withdrawn' LIMIT 1",
            (member[0],),
        ).fetchone()
        if other is not None:
            tx.execute("UPDATE item SET part_of = ? WHERE content = ?", (other[0], member[0]))
        else:
            tx.execute("UPDATE item SET state = ? WHERE content = ?", (State.WITHDRAWN, member[0]))
            gone.append(_item(member))
    return gone


def by_hash(tx: Connection, key: bytes) -> Item | None:
    """The item of a content."""
    return next(iter(_items(tx, "WHERE content.hash = ?", key)), None)


def by_path(tx: Connection, path: Path) -> Item | None:
    """The item that was published from this path, one that is shared before one that is withdrawn."""
    order = (
        "WHERE item.path = ? ORDER BY item.state <> 'shared', item.state = 'withdrawn',"
        " item.part_of IS NOT NULL, item.content DESC LIMIT 1"
    )
    return next(iter(_items(tx, order, os.fsencode(path))), None)


def page(
    tx: Connection, after: int, limit: int, *, members: bool, states: Collection[State] | None
) -> list[tuple[int, Item]]:
    """The next items in order of their row ids, with these."""
    where = ["item.content > ?"]
    if not members:
        where.append("item.part_of IS NULL")
    if states is not None:
        where.append(f"item.state IN ({', '.join('?' * len(states))})")
    rows = _rows(tx, f"WHERE {' AND '.join(where)} ORDER BY item.content LIMIT ?", after, *(states or ()), limit)
    return [(int(row[0]), _item(row)) for row in rows]


def members_here(tx: Connection, collection: bytes) -> list[int]:
    """The file numbers of a collection whose bytes lie on this disk now."""
    rows = tx.execute(
        "SELECT number FROM member WHERE collection = (SELECT id FROM content WHERE hash = ?) AND EXISTS"
        " (SELECT 1 FROM place WHERE place.content = member.content AND place.state = 'shared') ORDER BY number",
        (collection,),
    )
    return [int(row[0]) for row in rows]


def is_member_of_something(tx: Connection, key: bytes) -> bool:
    """Whether a content is a file of a collection that is not withdrawn."""
    row = tx.execute(
        "SELECT 1 FROM content JOIN member ON member.content = content.id JOIN item ON item.content = member.collection"
        " WHERE content.hash = ? AND item.state <> 'withdrawn' LIMIT 1",
        (key,),
    ).fetchone()
    return row is not None


def prune(tx: Connection) -> None:
    """Forgets withdrawn files that lie nowhere any more, and descriptors that nothing refers to."""
    tx.execute(
        "DELETE FROM item WHERE state = 'withdrawn' AND kind = 'file'"
        " AND NOT EXISTS (SELECT 1 FROM place WHERE place.content = item.content)"
    )
    tx.execute(
        "DELETE FROM content WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.content = content.id)"
        " AND NOT EXISTS (SELECT 1 FROM item WHERE item.part_of = content.id)"
        " AND NOT EXISTS (SELECT 1 FROM place WHERE place.content = content.id)"
        " AND NOT EXISTS (SELECT 1 FROM member WHERE member.content = content.id)"
    )


def _is_shared_for_itself(tx: Connection, content: int) -> bool:
    row = tx.execute("SELECT state, part_of FROM item WHERE content = ?", (content,)).fetchone()
    return row is not None and row[0] != State.WITHDRAWN and row[1] is None


def _content_id(tx: Connection, key: bytes) -> int | None:
    row = tx.execute("SELECT id FROM content WHERE hash = ?", (key,)).fetchone()
    return None if row is None else int(row[0])


def _rows(tx: Connection, where: str, *values: object) -> list[tuple[Any, ...]]:
    return tx.execute(_SELECT + where, values).fetchall()


def _items(tx: Connection, where: str, *values: object) -> list[Item]:
    return [_item(row) for row in _rows(tx, where, *values)]


def _item(row: tuple[Any, ...]) -> Item:
    _, key, kind, name, path, size, files, chunks, keywords, words, state, part_of, added = row
    return Item(
        content_hash=key,
        kind=Kind(kind),
        name=name,
        path=Path(os.fsdecode(path)),
        size=size,
        files=files,
        chunks=chunks,
        keywords=tuple(json.loads(keywords)),
        words=tuple(json.loads(words)),
        state=State(state),
        part_of=part_of,
        added=added,
    )


def _text(name: str) -> str:
    """A name as SQLite takes it: what is no text (a lone surrogate) becomes '?'."""
    return name.encode(errors="replace").decode()
