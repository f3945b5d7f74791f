"""A content on its way to the disk: verified chunks go in, and at the end a file or folder with its final name.

Until then it lies beside its target under a dot name, with a bitmap of what it holds (claims.py), so that a
later run goes on where this one stopped. Blocking throughout: called in worker threads. Believes that what
`store` is given was verified, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.content.open_chunk import OpenChunk
from dhtshare.durable import make_folders
from dhtshare.errors import DiskError, LocalProtocolError, UsageError
from dhtshare.faults import disk_error
from dhtshare.library.boot import boot_tag
from dhtshare.library.finishing import Finishing
from dhtshare.library.in_use import InUse
from dhtshare.library.ledger import Ledger
from dhtshare.library.part_files import PartFiles
from dhtshare.library.records import Kind, Place
from dhtshare.library.rehash import Reader
from dhtshare.library.resume import claim_part, forget_junk, has_part, resume
from dhtshare.library.space import check_space
from dhtshare.library.target import IfExists, choose
from dhtshare.nofollow import open_file, real_path

__all__ = ["IfExists", "Unfinished"]


class Unfinished:
    """Where the verified chunks of one fetch go. Safe from several threads.

    Invariant: a chunk is in `have` only after its bytes were written in their place.
    """

    def __init__(self, directory: Path, layout: Layout, finishing: Finishing, readers: Callable[[], Reader]) -> None:
        """Use `open`."""
        self.layout = layout
        self.path = directory / finishing.target.name
        """Where it will be when it is finished."""
        self.resumed = 0
        """Bytes that an earlier run left."""
        self.reused = 0
        """Bytes found in the target or in other files of this disk."""
        self._ledger = Ledger(layout, finishing.files)
        self._finishing = finishing
        self._root = finishing.root
        self._readers = readers
        self._part_name = ""
        self._parts = self._part_files()
        self._in_use = InUse(self.path.name, self._release)
        self._finished = False

    @classmethod
    def open(
        cls,
        directory: Path,
        name: str,
        layout: Layout,
        *,
        kind: Kind,
        files: frozenset[int] | None = None,
        exists: IfExists = IfExists.REFUSE,
        progress: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Unfinished:
        """Begins or resumes a fetch to `directory/name`; `name` is safe, `files` are the wanted numbers (None: all).

        What stands at the target is hashed: right files stay and count as reused. `progress` is called with
        bytes read while that goes on. Raises UsageError (something else is there, or another process is at
        it), DiskError (not writable, too little space), InterruptedByUserError when cancelled.
        """
        directory = real_path(directory)
        try:
            make_folders(directory)
            root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise disk_error("make or open the folder", directory, error) from error
        wanted = frozenset(range(len(layout.files))) if files is None else files

        def readers() -> Reader:
            return Reader(progress, cancelled)

        opened: Unfinished | None = None
        try:
            target = choose(root, name, layout, kind, wanted, exists, readers())
            finishing = Finishing(root, layout, kind, target, wanted, everything=files is None)
            opened = cls(directory, layout, finishing, readers)
            opened._begin()
        except BaseException as error:
            if opened is None:
                os.close(root)
            else:
                opened.close()
            if isinstance(error, OSError):
                raise disk_error("write to", directory / name, error) from error
            raise
        return opened

    def _begin(self) -> None:
        target, ledger = self._finishing.target, self._ledger
        for file in target.whole:
            ledger.take_file(file)
            self.reused += self.layout.files[file].size
        if not self._finishing.awaited and not target.absent and not has_part(self._root, target.name):
            return  # all is there: nothing will be written, so the folder need not even be writable
        claims, self._part_name = claim_part(self._root, target.name, self.layout.content_hash)
        try:
            self._parts = self._part_files()
            lacking = ledger.lacking()
            if not resume(claims, self._parts, self.layout, self.have, self._readers()):
                forget_junk(self._root, self._part_name, self._finishing.kind)
            ledger.keep_claims(claims)
        except BaseException:
            claims.close()
            raise
        self.resumed = lacking - ledger.lacking()
        check_space(self._root, ledger.lacking(), target.name)
        for file in sorted(target.different):
            self.adopt(self._final_path(file), file)

    @property
    def content_hash(self) -> bytes:
        """Of the whole content, whatever of it is wanted."""
        return self.layout.content_hash

    @property
    def have(self) -> Bitfield:
        """The chunks that are on this disk, of files that are not wanted too; grows while others look."""
        return self._ledger.have

    @property
    def wanted(self) -> Bitfield:
        """The chunks of the files that were asked for."""
        return self._ledger.wanted

    @property
    def wanted_bytes(self) -> int:
        """Of these chunks together."""
        return self._ledger.wanted_bytes

    @property
    def part(self) -> Path:
        """Where it lies until it is finished."""
        return self.path.parent / self._part_name if self._part_name else self.path

    @property
    def complete(self) -> bool:
        """Whether every wanted chunk is here."""
        return next(self.missing(), None) is None

    def missing(self) -> Iterator[int]:
        """The wanted chunks that are not here, in order."""
        return self._ledger.missing()

    def store(self, index: int, data: bytes | bytearray | memoryview) -> None:
        """Writes one verified chunk in its place and claims it; again is harmless. Raises DiskError."""
        slot = self.layout.slot(index)
        if len(data) != slot.length:
            raise LocalProtocolError(f"chunk {index} has {slot.length} bytes, not {len(data)}")
        if index in self.have:
            return
        with self._in_use:
            try:
                self._parts.write(slot, data)
                batch = self._ledger.chunk_written(index)
            except OSError as error:
                raise disk_error("write", self.part, error) from error
            if batch:
                self._sync(batch)

    def adopt(self, path: Path, file: int = 0) -> int:
        """Copies those wanted, missing chunks of file number `file` that `path` holds at the same offsets.

        `path` is real (`nofollow.real_path`). Returns the bytes gained: 0 where it cannot be read. Raises
        DiskError when writing fails.
        """
        reader, gained = self._readers(), 0
        with contextlib.suppress(OSError):  # of reading only: `store` raises DiskError
            fd = open_file(path)
            try:
                if not self.layout.needs_descriptor(file) or reader.holds(fd, self.layout, file):
                    missing = [c for c in self.layout.chunks_of_file(file) if c in self.wanted and c not in self.have]
                    for index, data in reader.right_chunks(fd, self.layout, missing):
                        self.store(index, data)
                        gained += len(data)
            finally:
                os.close(fd)
        self.reused += gained
        return gained

    def open_chunk(self, index: int) -> OpenChunk:
        """Where a chunk that is here can be read, also after the end; the caller closes the fd. Raises DiskError."""
        slot = self.layout.slot(index)
        with self._in_use:
            if index not in self.have:
                raise DiskError(f"Chunk {index} of {self.path.name} is not here yet.")
            try:
                return OpenChunk(self._parts.borrow(slot.file), slot.offset, slot.length)
            except OSError as error:
                raise disk_error("read", self.path, error) from error

    def finish(self) -> Path:
        """Gives a complete content its final name, durably. Raises DiskError, and then it is not finished.

        Raises UsageError when something took the name meanwhile, LocalProtocolError while chunks are missing.
        """
        if not self.complete:
            raise LocalProtocolError(f"{self.path.name} is not complete")
        with self._in_use:
            if self._finished:
                return self.path
            try:
                self._finishing.make_empties(self._parts)
                self._sync(self._finishing.awaited - self._ledger.synced)
                self._finishing.land(self._parts, self._part_name)
                self._finished = True
                self._clear_part()
            except FileExistsError as error:
                raise UsageError(
                    f"Something called {self.path.name} appeared meanwhile; it was not touched. "
                    "Run it again with --overwrite or --rename."
                ) from error
            except OSError as error:
                raise disk_error("finish", self.path, error) from error
        return self.path

    def finished_places(self) -> Iterator[tuple[int, Place]]:
        """After `finish`: the number of each wanted file, with its place for the catalogue. Raises DiskError."""
        for file in sorted(self._finishing.files):
            if self.layout.files[file].is_folder:
                continue
            path = self._final_path(file)
            try:
                yield file, Place.of(path, path.lstat())
            except OSError as error:
                raise disk_error("read", path, error) from error

    def close(self) -> None:
        """Leaves what is verified for a later run, and no trace where that is nothing."""
        if not self._in_use.close():
            return
        try:
            if not self._finished and self._is_useless():
                with contextlib.suppress(OSError):
                    self._remove_part()
        finally:  # whatever there is no memory for: the lock is given back
            self._in_use.leave()

    def _is_useless(self) -> bool:
        return not self._ledger.doubted and not len(self._ledger.outside(self._finishing.target.whole))

    def discard(self) -> None:
        """Gives up: removes the unfinished files and their bitmap, then closes. Raises DiskError."""
        with self._in_use:
            try:
                self._remove_part()
            except OSError as error:
                raise disk_error("remove", self.part, error) from error
        self.close()

    def _sync(self, files: Iterable[int]) -> None:
        files = {file for file in files if not self.layout.files[file].is_folder}
        try:
            self._parts.sync(files)
        except OSError as error:
            self._ledger.files_lost(files)
            raise disk_error("write", self.part, error) from error
        self._ledger.files_synced(files)

    def _clear_part(self) -> None:
        """After landing: the part goes, but for verified files that an earlier run wanted and this one did not."""
        others = self._ledger.outside(self._finishing.files | self._finishing.target.whole)
        if len(others) and self._ledger.claims is not None:
            self._ledger.claims.write(self.content_hash, others, boot_tag())
        else:
            self._remove_part()

    def _remove_part(self) -> None:
        if self._ledger.claims is not None:
            self._finishing.clear(self._part_name)
            self._ledger.claims.remove()

    def _part_files(self) -> PartFiles:
        target = self._finishing.target
        return PartFiles(self._root, self.layout, self._part_name, target.name, set(target.whole))

    def _final_path(self, file: int) -> Path:
        return self.path / self.layout.files[file].path

    def _release(self) -> None:
        try:
            self._parts.close()
            self._ledger.settle()
        finally:
            if self._ledger.claims is not None:
                self._ledger.claims.close()
            os.close(self._root)
