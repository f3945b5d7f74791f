"""SQLite under the catalogue: one connection that reads, one that writes, and what their failures mean.

In WAL mode readers never wait for the writer, so the event loop may read while a publish of ten thousand
files commits. `synchronous=FULL` makes a returned write durable.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from dhtshare.errors import DiskError
from dhtshare.library import schema

#: Another process (an offline command beside a node) may hold the write lock for one transaction.
BUSY_SECONDS = 10.0
#: Pages that one transaction may keep in memory. A collection of 100,000 files dirties 40 MB of them, and with
#: the usual 2 MB writes many twice; they are given back after such a transaction.
_CACHE_KIB = 65_536
_LARGE_TRANSACTION_ROWS = 10_000


class Database:
    """The two connections of one catalogue file. Safe from several threads."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises sqlite3.Error (`integrity.open_sound` knows what to do), DiskError."""
        self.path = path
        self._read_lock = threading.RLock()
        self._write_lock = threading.RLock()
        self._writer = _connect(path)
        try:
            self._prepare()
            self._reader = _connect(path)
            self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self._writer.close()
            raise

    def _prepare(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        (application,) = self._writer.execute("PRAGMA application_id").fetchone()
        if version > schema.VERSION:
            raise DiskError(f"{self.path} was made by a newer version of dhtshare. Update dhtshare.")
        if version and application != schema.APPLICATION_ID:
            raise sqlite3.DatabaseError("the file is another program's database")
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = FULL")
        self._writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if version < schema.VERSION:
            self._writer.execute("BEGIN IMMEDIATE")
            schema.migrate(self._writer)
            self._writer.execute("COMMIT")

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The reading connection, for one or a few quick queries. Raises DiskError."""
        with self._read_lock, self._explained("read"):
            yield self._reader

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: durable when the block is left, undone when it raises. Raises DiskError."""
        with self._write_lock, self._explained("write"):
            before = self._writer.total_changes
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
                    self._writer.execute("ROLLBACK")
                raise
            if self._writer.total_changes - before > _LARGE_TRANSACTION_ROWS:
                self._writer.execute("PRAGMA shrink_memory")

    def check(self) -> None:
        """Reads the whole file. Raises sqlite3.DatabaseError with what SQLite finds wrong with it."""
        rows = self._writer.execute("PRAGMA quick_check(5)").fetchall()
        faults = [str(row[0]) for row in rows if row[0] != "ok"]
        if faults:
            raise sqlite3.DatabaseError("; ".join(faults))

    def close(self) -> None:
        """Closes both connections; the last one moves the write-ahead log into the file."""
        with self._read_lock:
            self._reader.close()
        with self._write_lock:
            self._writer.close()

    @property
    def suspicion(self) -> Path:
        """The mark that a torn page was met while running: the next open checks the whole file."""
        return self.path.with_name(f"{self.path.name}.suspect")

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                with contextlib.suppress(OSError):
                    self.suspicion.touch(0o600)
                raise DiskError(
                    f"The catalogue {self.path} is damaged ({error}). Start again: it is then rebuilt from your files."
                ) from error
            full = code is not None and code & 0xFF == sqlite3.SQLITE_FULL
            advice = "Free some space and run it again." if full else "Check the disk and the permissions of the home."
            raise DiskError(f"Cannot {doing} the catalogue {self.path}: {error}. {advice}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection
