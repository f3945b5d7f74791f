"""Opening a catalogue that may be torn: checked, and where it is torn moved aside, never used.

A catalogue can always be made again by hashing the files that the journal names, so nothing clever is done
with torn pages: what they say about other files would have to be hashed anyway before it were believed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from dhtshare.durable import sync_folder
from dhtshare.errors import DiskError
from dhtshare.faults import disk_error
from dhtshare.library.database import Database

#: Up to here a check at every start costs at most a few tenths of a second.
ALWAYS_CHECKED_BYTES = 16 << 20
_TAIL_FILES = ("", "-wal", "-shm")


def open_sound(path: Path) -> tuple[Database, bool]:
    """An open, sound catalogue, and whether it is new because there was none or the old one was torn.

    Raises DiskError where the disk refuses, or a newer version made it.
    """
    new = not path.exists()
    try:
        if new:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        return _checked(path), new
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not _is_torn(error):
            raise DiskError(
                f"Cannot open the catalogue {path}: {error}. Check the disk and its permissions."
            ) from error
        _move_aside(path)
        return open_sound(path)
    except OSError as error:
        raise disk_error("open the catalogue", path, error) from error


def _checked(path: Path) -> Database:
    suspicious = _needs_check(path)
    database = Database(path)
    try:
        if suspicious or database.suspicion.exists():
            database.check()
    except BaseException:
        database.close()
        raise
    database.suspicion.unlink(missing_ok=True)
    return database


def _needs_check(path: Path) -> bool:
    """Small files always; others after a process that did not close: then its write-ahead log is still there."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size <= ALWAYS_CHECKED_BYTES or (log.exists() and log.stat().st_size > 0)


def _is_torn(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _move_aside(path: Path) -> None:
    """Keeps the torn file as NAME.torn for whoever wants to look at it; one is enough."""
    try:
        for tail in _TAIL_FILES:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + tail).replace(path.with_name(f"{path.name}.torn{tail}"))
        path.with_name(f"{path.name}.suspect").unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error("move aside the torn catalogue", path, error) from error
