"""One content that this node serves: chunks read from the very files that were published, or from a part.

A file is looked at before every chunk: only the size and time that it had when it was hashed let its bytes out. And
once more afterwards: who was sent a chunk that changed on its way does not come back to ask for another.
Receivers verify each chunk all the same, so what slips through costs a chunk and harms nobody.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import ChunkSlot, Layout
from dhtshare.content.open_chunk import OpenChunk
from dhtshare.errors import DiskError
from dhtshare.faults import disk_error
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.handles import OpenFiles
from dhtshare.library.layouts import Layouts
from dhtshare.library.records import Item, State, StoredPlace
from dhtshare.library.unfinished import Unfinished
from dhtshare.nofollow import open_file

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EINVAL)


class SharedOffer:
    """A content of the catalogue. Cheap to hold: descriptor and layout are looked up when asked for."""

    def __init__(
        self,
        content_hash: bytes,
        name: str,
        catalogue: Catalogue,
        layouts: Layouts,
        files: OpenFiles,
        on_change: Callable[[Item], None],
    ) -> None:
        self.content_hash = content_hash
        self.name = name
        self._catalogue = catalogue
        self._layouts = layouts
        self._files = files
        self._on_change = on_change
        self._looked_at = -1  # the catalogue's generation for which `_have` holds
        self._have: Bitfield | None = None
        self._served_at = -1  # the generation in which it was last known to be shared
        self._last: tuple[int, int, StoredPlace] | None = None  # generation, file and place of the last chunk read
        self._lent: dict[int, StoredPlace] = {}  # what each descriptor that is out was opened as

    @property
    def descriptor(self) -> bytes:
        """The bytes that the content hash is the hash of. Raises DiskError when the catalogue lost them."""
        return self._descriptor_of(self.content_hash)

    @property
    def layout(self) -> Layout:
        """Its chunks."""
        return self._layouts.get(self.content_hash)

    @property
    def have(self) -> Bitfield | None:
        """None while every file of it is as it was; else the chunks of those that are."""
        generation = self._catalogue.generation
        if generation != self._looked_at:
            self._have = self._chunks_here()
            self._looked_at = generation
        return self._have

    @property
    def at_hand(self) -> bool:
        """Whether its layout is decoded."""
        return self.content_hash in self._layouts

    def _chunks_here(self) -> Bitfield | None:
        item = self._catalogue.item(self.content_hash)
        if item is None or item.state is State.SHARED:
            return None
        layout = self.layout
        here = self._catalogue.members_here(self.content_hash)
        return Bitfield(layout.chunk_count, (chunk for file in here for chunk in layout.chunks_of_file(file)))

    def open_chunk(self, index: int) -> OpenChunk:
        """Where chunk `index` can be read. Raises DiskError when no file holds it as it was published."""
        slot = self.layout.slot(index)
        self._check_served()
        last = self._last
        if last is not None and last[:2] == (self._served_at, slot.file) and (fd := self._open(last[2])) is not None:
            return self._lend(fd, last[2], slot)
        for place in self._catalogue.places(self.layout.files[slot.file].content_hash):
            if place.state is State.SHARED:
                fd = self._open(place)
                if fd is not None:
                    self._last = (self._served_at, slot.file, place)
                    return self._lend(fd, place, slot)
        raise DiskError(f"A file of {self.name} was changed or removed after it was published. Publish it again.")

    def _check_served(self) -> None:
        generation = self._catalogue.generation
        if generation != self._served_at:
            if not self._catalogue.is_served(self.content_hash):
                raise DiskError(f"{self.name} is not shared any more.")
            self._served_at = generation

    def _lend(self, fd: int, place: StoredPlace, slot: ChunkSlot) -> OpenChunk:
        self._lent[fd] = place
        return OpenChunk(fd, slot.offset, slot.length)

    def close_chunk(self, chunk: OpenChunk) -> None:
        """Gives back what `open_chunk` gave, and notes a file that is not what was published any more."""
        place = self._lent.pop(chunk.fd)
        try:
            same = _is_as_published(chunk.fd, place)
        finally:
            os.close(chunk.fd)
        if not same:
            with contextlib.suppress(DiskError):  # then the next to ask finds out
                fd = self._open(place)
                if fd is not None:
                    os.close(fd)

    def member_descriptor(self, file: int) -> bytes:
        """The descriptor of file number `file`. Raises DiskError when the catalogue lost it."""
        return self._descriptor_of(self.layout.files[file].content_hash)

    def _descriptor_of(self, content_hash: bytes) -> bytes:
        raw = self._catalogue.descriptor(content_hash)
        if raw is None:
            raise DiskError(f"The catalogue holds no descriptor for a file of {self.name}. Publish it again.")
        return raw

    def _open(self, place: StoredPlace) -> int | None:
        """The file, or None after noting in the catalogue that it is not what was published."""
        for _ in range(2):  # a file that was replaced by its twin is opened anew once
            try:
                fd = self._files.borrow(place.path, lambda: open_file(place.path))
            except OSError as error:
                if error.errno not in _GONE:
                    raise disk_error("read", place.path, error) from error
                self._note(place.path, State.MISSING)
                return None
            if _is_as_published(fd, place):
                return fd
            os.close(fd)
            self._files.forget(place.path)
        self._note(place.path, State.CHANGED)
        return None

    def _note(self, path: Path, state: State) -> None:
        for item in self._catalogue.mark(path, state):
            self._on_change(item)


def _is_as_published(fd: int, place: StoredPlace) -> bool:
    """By name, size and time; reads nothing."""
    status = os.fstat(fd)
    return bool(status.st_nlink) and (status.st_size, status.st_mtime_ns) == (place.size, place.mtime_ns)


class PartialOffer:
    """A content that is being fetched: its verified chunks are served at once."""

    at_hand = True

    def __init__(self, unfinished: Unfinished, descriptor: bytes, name: str) -> None:
        self.content_hash = unfinished.content_hash
        self.descriptor = descriptor
        self.name = name
        self.layout = unfinished.layout
        self._unfinished = unfinished

    @property
    def have(self) -> Bitfield | None:
        """The chunks that are here, growing."""
        return self._unfinished.have

    def open_chunk(self, index: int) -> OpenChunk:
        """Where chunk `index` can be read. Raises DiskError while it is not here, and after the fetch."""
        return self._unfinished.open_chunk(index)

    def close_chunk(self, chunk: OpenChunk) -> None:
        """Gives back what `open_chunk` gave."""
        os.close(chunk.fd)

    def member_descriptor(self, file: int) -> bytes:
        """The descriptor of file number `file`. Raises DiskError while it is not known here."""
        known = self.layout.descriptor_of(file)
        if known is None:
            raise DiskError(f"The descriptor of {self.layout.files[file].path!a} is not here yet.")
        return known.encode()
