"""The files that chunks are written to before they have their final names, all below one folder.

A file of one chunk is written and closed at once; of longer ones a few stay open. Knows nothing of claims,
targets or networks. Raises OSError throughout.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from dhtshare.content.layout import ChunkSlot, Layout
from dhtshare.library.handles import OpenFiles
from dhtshare.library.landing import make_empty, sync_file
from dhtshare.nofollow import open_beneath
from dhtshare.threads import Threads

#: fsyncs in flight at once: file systems commit them together, so four threads take half the time of one.
_SYNC_THREADS = 4


class PartFiles:
    """Chunks on the disk. `prefix` is the part file's name, or for a collection that of the part folder.

    Files that landed are found below `landed_prefix` from then on. Safe from several threads.
    """

    def __init__(self, root: int, layout: Layout, prefix: str, landed_prefix: str, landed: set[int]) -> None:
        self._root = root
        self._layout = layout
        self._prefix = prefix
        self._landed_prefix = landed_prefix
        self._landed = landed
        self._open = OpenFiles()

    def relative(self, file: int) -> str:
        """Where this file is now, below the root."""
        return self.landed(file) if file in self._landed else self.part(file)

    def part(self, file: int) -> str:
        """Where this file lies until it is whole."""
        path = self._layout.files[file].path
        return f"{self._prefix}/{path}" if path else self._prefix

    def landed(self, file: int) -> str:
        """Where this file lies in the end."""
        path = self._layout.files[file].path
        return f"{self._landed_prefix}/{path}" if path else self._landed_prefix

    def has_landed(self, files: Iterable[int]) -> None:
        """These have their final names now. Files that are open stay open: it is still the same file."""
        self._landed.update(files)

    def write(self, slot: ChunkSlot, data: bytes | bytearray | memoryview) -> None:
        """Writes one chunk in its place."""
        fd = self._create(slot.file) if self._is_small(slot.file) else self._borrow(slot.file)
        try:
            view, offset = memoryview(data), slot.offset
            while view:
                count = os.pwrite(fd, view, offset)
                view, offset = view[count:], offset + count
        finally:
            os.close(fd)

    def borrow(self, file: int) -> int:
        """A descriptor to read from, which the caller closes."""
        return self._open.borrow(file, lambda: open_beneath(self._root, self.relative(file), os.O_RDONLY))

    def size(self, file: int) -> int | None:
        """How long the part of this file is now; None where there is none."""
        try:
            fd = open_beneath(self._root, self.part(file), os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def make_empty(self, file: int) -> None:
        """Makes the part of a file without chunks, or an empty folder."""
        make_empty(self._root, self.part(file), self._mode(file))

    def sync(self, files: Iterable[int]) -> None:
        """Puts the bytes of these parts on the disk. Raises one of the OSErrors after all threads have ended."""
        numbers = list(files)
        if len(numbers) < _SYNC_THREADS:
            self._sync_all(numbers)
            return
        with Threads(_SYNC_THREADS, "fsync") as pool:
            pending = []
            for first in range(_SYNC_THREADS):
                share = numbers[first::_SYNC_THREADS]
                try:
                    pending.append(pool.submit(self._sync_all, share))
                except (RuntimeError, MemoryError):  # refused even one thread
                    self._sync_all(share)
        for each in pending:
            each.result()

    def _sync_all(self, files: Iterable[int]) -> None:
        for file in files:
            sync_file(self._root, self.part(file))

    def close(self) -> None:
        """Closes what is open."""
        self._open.close()

    def _borrow(self, file: int) -> int:
        return self._open.borrow((file, "write"), lambda: self._create(file))

    def _create(self, file: int) -> int:
        fd = open_beneath(self._root, self.part(file), os.O_RDWR | os.O_CREAT, self._mode(file), make=True)
        if os.fstat(fd).st_size > self._layout.files[file].size:
            os.ftruncate(fd, self._layout.files[file].size)
        return fd

    def _mode(self, file: int) -> int:
        return 0o777 if self._layout.files[file].executable else 0o666  # less the user's umask

    def _is_small(self, file: int) -> bool:
        return self._layout.files[file].chunk_count == 1
