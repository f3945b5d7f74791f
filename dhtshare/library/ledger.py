"""What of a content is on this disk: kept in memory, and chunk by chunk in the bitmap beside the part.

Knows no path and writes no content. Safe from several threads.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.library.boot import boot_tag
from dhtshare.library.claims import Claims

#: How much may be written and not fsynced: bounds the wait at the end.
SYNC_BATCH_BYTES = 64 << 20
SYNC_BATCH_FILES = 256


class Ledger:
    """The chunks that are here, those that are wanted, and the files that are whole and not fsynced yet.

    Invariant: once `claims` is set, the bitmap says what `have` says; after a failed fsync it may claim more, doubted.
    """

    def __init__(self, layout: Layout, files: Collection[int]) -> None:
        self.have = Bitfield(layout.chunk_count)
        self.wanted = Bitfield(layout.chunk_count, (c for file in files for c in layout.chunks_of_file(file)))
        self.synced: set[int] = set()
        self.claims: Claims | None = None
        self.doubted = False
        """Whether the bitmap claims chunks that the next run has to hash and to write again."""
        self._layout = layout
        self.wanted_bytes = sum(layout.files[file].size for file in files)
        self._lock = threading.Lock()
        self._unnoted = False
        self._remaining: dict[int, int] = {}  # file number -> chunks that it still lacks
        self._unsynced: set[int] = set()
        self._unsynced_bytes = 0

    def take_file(self, file: int) -> None:
        """This file is here whole, from before."""
        for chunk in self._layout.chunks_of_file(file):
            self.have.add(chunk)

    def missing(self) -> Iterator[int]:
        """The wanted chunks that are not here, in order."""
        return (chunk for chunk in self.wanted if chunk not in self.have)

    def lacking(self) -> int:
        """How many bytes these are."""
        return self.wanted_bytes - sum(self._layout.slot(chunk).length for chunk in self.have if chunk in self.wanted)

    def keep_claims(self, claims: Claims) -> None:
        """Writes all that is here into the bitmap, and every change from now on. Raises OSError."""
        claims.write(self._layout.content_hash, self.have, boot_tag())
        self.claims = claims

    def chunk_written(self, chunk: int) -> set[int]:
        """Claims a chunk. The files to fsync now: none, until enough of them are whole. Raises OSError."""
        with self._lock:
            if not self.have.add(chunk):
                return set()
            self._note(chunk)
            return self._count_down(self._layout.slot(chunk).file)

    def files_synced(self, files: Iterable[int]) -> None:
        """These are on the disk for good."""
        with self._lock:
            self.synced.update(files)

    def files_lost(self, files: Iterable[int]) -> None:
        """These could not be put on the disk: their chunks count as never written, and the next run doubts them."""
        with self._lock:
            self.doubted = self._doubt()
            for chunk in (chunk for file in files for chunk in self._layout.chunks_of_file(file)):
                self.have.discard(chunk)
                if not self.doubted:
                    with contextlib.suppress(OSError):
                        self._note(chunk)

    def _doubt(self) -> bool:
        if self.claims is None:
            return False
        try:
            self.claims.doubt(self._layout.content_hash, self._layout.chunk_count)
        except OSError:
            return False
        return True

    def outside(self, files: Iterable[int]) -> Bitfield:
        """The chunks here that belong to none of these files."""
        excluded = set(files)
        if len(excluded) == len(self._layout.files):
            return Bitfield(self._layout.chunk_count)
        chunks = (chunk for chunk in self.have if self._layout.slot(chunk).file not in excluded)
        return Bitfield(self._layout.chunk_count, chunks)

    def _count_down(self, file: int) -> set[int]:
        if file in self._remaining:
            self._remaining[file] -= 1
        else:  # the file's first chunk of this run, counted in `have` already
            self._remaining[file] = sum(chunk not in self.have for chunk in self._layout.chunks_of_file(file))
        if self._remaining[file]:
            return set()
        del self._remaining[file]
        self._unsynced.add(file)
        self._unsynced_bytes += self._layout.files[file].size
        if self._unsynced_bytes < SYNC_BATCH_BYTES and len(self._unsynced) < SYNC_BATCH_FILES:
            return set()
        batch, self._unsynced, self._unsynced_bytes = self._unsynced, set(), 0
        return batch

    def settle(self) -> None:
        """Nobody writes any more: what could not be noted, by a failed write or a full disk, is tried once more."""
        if self._unnoted and self.claims is not None and not self.doubted:
            with contextlib.suppress(OSError):
                self.claims.write(self._layout.content_hash, self.have, boot_tag())

    def _note(self, chunk: int) -> None:
        if self.claims is not None:
            try:
                self.claims.note(self.have, chunk)
            except OSError:
                self._unnoted = True
                raise
