"""The second witness of what is shared: one JSON line per act, appended and fsynced before the catalogue commits.

Never read while the catalogue is sound. When it is torn or gone, the journal says which paths to hash and
publish again; bytes are believed only after that.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dhtshare.durable import sync_folder, write_all, write_atomic
from dhtshare.faults import disk_error
from dhtshare.library.records import Lost, NewItem

#: A journal with more dead lines than live ones is written anew, once it is worth it.
_REWRITE_FROM_LINES = 1000


class Journal:
    """An append-only file. Invariant: what an acknowledged publish named and nothing withdrew is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def shared(self, items: Iterable[NewItem]) -> None:
        """Notes what is about to be shared for itself; members come back with their collection. Raises DiskError."""
        self._append(
            {
                "hash": item.content_hash.hex(),
                "path": str(item.path),
                "name": item.name,
                "keywords": item.keywords,
                "each": item.each,
            }
            for item in items
            if item.part_of is None
        )

    def withdrawn(self, content_hashes: Iterable[bytes]) -> None:
        """Notes what is about to be withdrawn: it must not come back by a rebuild. Raises DiskError."""
        self._append({"withdrawn": content_hash.hex()} for content_hash in content_hashes)

    def live(self) -> dict[bytes, Lost]:
        """What is shared according to the journal, by content hash. Torn lines are skipped. Raises DiskError."""
        return self._read()[0]

    def compact(self) -> None:
        """Rewrites the file when most of its lines are about what is no longer shared. Raises DiskError."""
        if not self._path.exists():
            return
        live, lines = self._read()
        if lines < _REWRITE_FROM_LINES or lines < 2 * len(live):
            return
        rows = (
            {"hash": key.hex(), "path": str(lost.path), "name": lost.name, "keywords": lost.keywords, "each": lost.each}
            for key, lost in live.items()
        )
        write_atomic(self._path, b"".join(_lines(rows)))

    def _read(self) -> tuple[dict[bytes, Lost], int]:
        live: dict[bytes, Lost] = {}
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return live, 0
        except OSError as error:
            raise disk_error("read", self._path, error) from error
        lines = raw.splitlines()
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # a line torn by a power cut
                fields = json.loads(line)
                if "withdrawn" in fields:
                    live.pop(bytes.fromhex(fields["withdrawn"]), None)
                else:
                    lost = _lost(fields)
                    live.pop(lost.content_hash, None)
                    live[lost.content_hash] = lost
        return live, len(lines)

    def _append(self, rows: Iterable[dict[str, object]]) -> None:
        data = b"".join(_lines(rows))
        if not data:
            return
        try:
            new = not self._path.exists()
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(fd, 0o600)
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    data = b"\n" + data  # a torn last line must not swallow this one
                write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            if new:
                sync_folder(self._path.parent)
        except OSError as error:
            raise disk_error("write", self._path, error) from error


def _lines(rows: Iterable[dict[str, object]]) -> Iterator[bytes]:
    # ASCII: a path that is no valid text has lone surrogates, which only the \u form carries through
    return (json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n" for row in rows)


def _lost(fields: dict[str, object]) -> Lost:
    keywords = fields["keywords"]
    if not isinstance(keywords, list):
        raise TypeError(keywords)
    content_hash = bytes.fromhex(str(fields["hash"]))
    if len(content_hash) != 32:
        raise ValueError(content_hash)
    return Lost(
        Path(str(fields["path"])),
        content_hash,
        str(fields["name"]),
        tuple(str(word) for word in keywords),
        bool(fields.get("each")),
    )
