"""The tables of the catalogue. Grown by adding a step to `MIGRATIONS`, never by changing one that shipped.

Paths are kept as the bytes that the file system uses, since a file name need not be valid text.
"""

from __future__ import annotations

import sqlite3

#: 'dhts' in ASCII: says that a file is a catalogue and no other program's database.
APPLICATION_ID = 0x64687473

_FIRST = """
CREATE TABLE content (              -- every content known here, shared or being fetched
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    descriptor BLOB NOT NULL
);
CREATE TABLE place (                -- one hashed file on this disk
    id INTEGER PRIMARY KEY,
    content INTEGER NOT NULL REFERENCES content (id),
    path BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX place_content ON place (content);
CREATE TABLE item (                 -- what was published as one, or is announced as a member of it
    content INTEGER PRIMARY KEY REFERENCES content (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    path BLOB NOT NULL,             -- of the file or folder
    size INTEGER NOT NULL,
    files INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    keywords TEXT NOT NULL,         -- JSON lists
    words TEXT NOT NULL,
    state TEXT NOT NULL,
    part_of INTEGER REFERENCES content (id),
    added REAL NOT NULL
);
CREATE INDEX item_path ON item (path);
CREATE INDEX item_part_of ON item (part_of) WHERE part_of IS NOT NULL;
CREATE TABLE member (               -- where the files of a collection lie
    collection INTEGER NOT NULL REFERENCES item (content) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    content INTEGER NOT NULL REFERENCES content (id),
    place INTEGER NOT NULL REFERENCES place (id),
    PRIMARY KEY (collection, number)
) WITHOUT ROWID;
CREATE INDEX member_content ON member (content);
CREATE INDEX member_place ON member (place);
CREATE TABLE due (                  -- when a record is to be renewed, Unix seconds
    content INTEGER NOT NULL REFERENCES content (id) ON DELETE CASCADE,
    record TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (content, record)
) WITHOUT ROWID;
CREATE TABLE search_row (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    kind TEXT NOT NULL
);
CREATE TABLE fetch (                -- begun, neither finished nor given up
    hash BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    directory BLOB NOT NULL,
    only_globs TEXT NOT NULL,
    started REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

#: Step n takes a catalogue from version n to n + 1.
MIGRATIONS = (_FIRST,)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Brings an open transaction's database to VERSION. Raises sqlite3.Error; the caller rolls back."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for step in MIGRATIONS[version:]:
        for statement in step.split(";\n"):
            if statement.strip():
                connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
