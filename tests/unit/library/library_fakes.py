"""Small contents to publish and to fetch, made in memory or in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3

from dhtshare.content.chunks import chunk_count, chunk_size
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.library.records import Kind, Member, NewItem, Place

MIB = 1 << 20


def noise(size: int, seed: str = "") -> bytes:
    """Bytes that repeat nowhere, the same for the same seed."""
    return blake3(b"noise" + seed.encode()).digest(length=size)


def describe(data: bytes) -> FileDescriptor:
    step = chunk_size(len(data))
    hashes = b"".join(blake3(data[i * step : (i + 1) * step]).digest() for i in range(chunk_count(len(data))))
    return FileDescriptor(len(data), hashes)


def describe_folder(files: Mapping[str, bytes], executable: frozenset[str] = frozenset()) -> CollectionDescriptor:
    """A collection of these paths, given in any order; a path ending in '/' is an empty folder."""
    entries = []
    for path in sorted(files, key=lambda path: path.encode()):
        if path.endswith("/"):
            entries.append(CollectionEntry(path, 0, b"", False))
        else:
            data = files[path]
            entries.append(CollectionEntry(path, len(data), describe(data).content_hash, path in executable))
    return CollectionDescriptor(tuple(entries))


def folder_layout(files: Mapping[str, bytes], executable: frozenset[str] = frozenset()) -> Layout:
    """The layout of such a collection, all descriptors known."""
    layout = Layout.of(describe_folder(files, executable))
    for number, slot in enumerate(layout.files):
        if slot.chunk_count > 1:
            layout.set_descriptor(number, describe(files[slot.path]).encode())
    return layout


def chunk_of(layout: Layout, files: Mapping[str, bytes], index: int) -> bytes:
    """The bytes of a chunk; a plain file has the path ''."""
    slot = layout.slot(index)
    data = files[layout.files[slot.file].path]
    return data[slot.offset : slot.offset + slot.length]


def place_of(path: Path) -> Place:
    return Place.of(path, path.lstat())


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def file_item(path: Path, **fields: object) -> NewItem:
    """An existing file, as publish would share it."""
    descriptor = describe(path.read_bytes())
    values: dict[str, object] = {
        "content_hash": descriptor.content_hash,
        "kind": Kind.FILE,
        "name": path.name,
        "path": path,
        "size": descriptor.size,
        "files": 1,
        "chunks": chunk_count(descriptor.size),
        "descriptor": descriptor.encode(),
        "words": ("word",),
        "place": place_of(path),
    }
    return NewItem(**(values | fields))  # type: ignore[arg-type]


def folder_item(root: Path, files: Mapping[str, bytes], **fields: object) -> NewItem:
    """A folder written with these files, as publish would share it."""
    for path, data in files.items():
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            write(root / path, data)
    descriptor = describe_folder(files)
    layout = Layout.of(descriptor)
    members = [
        Member(number, place_of(root / slot.path), describe(files[slot.path]).encode())
        for number, slot in enumerate(layout.files)
        if not slot.is_folder
    ]
    values: dict[str, object] = {
        "content_hash": descriptor.content_hash,
        "kind": Kind.COLLECTION,
        "name": root.name,
        "path": root,
        "size": layout.size,
        "files": len(members),
        "chunks": layout.chunk_count,
        "descriptor": descriptor.encode(),
        "words": ("folder",),
        "members": members,
    }
    return NewItem(**(values | fields))  # type: ignore[arg-type]
