"""Reading files that are here already, to learn which of a content's chunks they hold.

Never believes a name, a size or a time: only hashes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from blake3 import blake3

from dhtshare.content.chunks import chunk_count, chunk_length, chunk_size
from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.errors import InterruptedByUserError


class Reader:
    """Reads chunk after chunk into one buffer, tells how far it is, and stops when told."""

    def __init__(
        self, progress: Callable[[int], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> None:
        self._progress = progress
        self._cancelled = cancelled
        self._buffer = bytearray()

    def read(self, fd: int, offset: int, length: int) -> memoryview | None:
        """`length` bytes at `offset`, valid until the next call; None where the file ends before. Raises OSError.

        Raises InterruptedByUserError when cancelled.
        """
        if self._cancelled is not None and self._cancelled():
            raise InterruptedByUserError("Stopped; what was verified is kept.")
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        view = memoryview(self._buffer)[:length]
        done = 0
        while done < length:
            count = os.preadv(fd, [view[done:]], offset + done)
            if not count:
                return None
            done += count
        if self._progress is not None:
            self._progress(length)
        return view

    def describe(self, fd: int, size: int) -> FileDescriptor | None:
        """The descriptor of an open file that has `size` bytes; None where it ends before."""
        hashes = bytearray()
        for chunk in range(chunk_count(size)):
            data = self.read(fd, chunk * chunk_size(size), chunk_length(size, chunk))
            if data is None:
                return None
            hashes += blake3(data).digest()
        return FileDescriptor(size, bytes(hashes))

    def holds(self, fd: int, layout: Layout, file: int) -> bool:
        """Whether an open file is file number `file` of a content, whole. Gives the layout its descriptor if so."""
        size = layout.files[file].size
        if os.fstat(fd).st_size != size:
            return False
        if layout.needs_descriptor(file):
            descriptor = self.describe(fd, size)
            if descriptor is None or descriptor.content_hash != layout.files[file].content_hash:
                return False
            layout.set_descriptor(file, descriptor.encode())
            return True
        chunks = layout.chunks_of_file(file)
        return sum(1 for _ in self.right_chunks(fd, layout, chunks, stop=True)) == len(chunks)

    def right_chunks(
        self, fd: int, layout: Layout, chunks: Iterable[int], *, stop: bool = False
    ) -> Iterator[tuple[int, memoryview]]:
        """Those of `chunks` that an open file holds at their offsets, with their bytes; `stop` at the first it lacks.

        The layout must know the file's descriptor.
        """
        for index in chunks:
            slot = layout.slot(index)
            data = self.read(fd, slot.offset, slot.length)
            if data is not None and layout.verify(index, data):
                yield index, data
            elif stop:
                return
