"""A collection in a folder, served and fetched: many small files, a few of several chunks, one empty."""

from __future__ import annotations

import os
import random
from pathlib import Path

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry
from dhtshare.content.layout import Layout
from dhtshare.content.open_chunk import OpenChunk
from tests.unit.transfer.transfer_fakes import describe


class CollectionOffer:
    """All files of a folder. `descriptors` may be changed to lie about them."""

    at_hand = True

    def __init__(self, folder: Path, sizes: dict[str, int], seed: int = 1, *, zeros: bool = False) -> None:
        rng = random.Random(seed)
        self.folder = folder
        self.name = folder.name
        self.have: Bitfield | None = None
        self.asked_for: list[int] = []
        entries = []
        by_path: dict[str, bytes] = {}
        for path, size in sizes.items():
            data = bytes(size) if zeros else rng.randbytes(size)
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            file = describe(data)
            by_path[path] = file.encode()
            entries.append(CollectionEntry(path, size, file.content_hash, False))
        collection = CollectionDescriptor.of(entries)
        self.content_hash = collection.content_hash
        self.descriptor = collection.encode()
        self.layout = Layout.of(collection)
        self.descriptors = [by_path[file.path] for file in self.layout.files]

    def open_chunk(self, index: int) -> OpenChunk:
        slot = self.layout.slot(index)
        path = self.folder / self.layout.files[slot.file].path
        return OpenChunk(os.open(path, os.O_RDONLY), slot.offset, slot.length)

    def close_chunk(self, chunk: OpenChunk) -> None:
        os.close(chunk.fd)

    def member_descriptor(self, file: int) -> bytes:
        self.asked_for.append(file)
        return self.descriptors[file]

    def fresh_layout(self) -> Layout:
        """As a fetcher has it, which knows the descriptor of the collection alone."""
        from dhtshare.content.descriptor import decode

        return Layout.of(decode(self.descriptor))


class FolderSink:
    """Keeps the chunks of every file by number."""

    def __init__(self, layout: Layout) -> None:
        self.have = Bitfield(layout.chunk_count)
        self.files: dict[int, bytearray] = {}
        self._layout = layout

    def store(self, index: int, data: memoryview) -> None:
        slot = self._layout.slot(index)
        file = self.files.setdefault(slot.file, bytearray(self._layout.files[slot.file].size))
        file[slot.offset : slot.offset + slot.length] = data
        self.have.add(index)
