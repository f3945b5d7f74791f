"""The descriptor: the bytes that a content hash is the BLAKE3-256 of. Here are both kinds, and their decoder.

Descriptors are canonical MessagePack (canonical.py) of version, kind, and what the kind has: file.py,
collection.py. What all share, and how the format may grow, is in format.py.
"""

from __future__ import annotations

import dataclasses

from blake3 import blake3

from dhtshare.content.canonical import Reader
from dhtshare.content.collection import CollectionDescriptor, CollectionEntry, read_collection
from dhtshare.content.file import EMPTY_FILE_HASH, FileDescriptor, read_file, single_chunk_content_hash
from dhtshare.content.format import (
    HASH_BYTES,
    KIND_KEY,
    MAX_DESCRIPTOR_BYTES,
    VERSION,
    VERSION_KEY,
    Kind,
    pass_unknown,
    refuse_newer,
)
from dhtshare.errors import MalformedError

__all__ = [
    "EMPTY_FILE_HASH",
    "HASH_BYTES",
    "MAX_DESCRIPTOR_BYTES",
    "CollectionDescriptor",
    "CollectionEntry",
    "Descriptor",
    "FileDescriptor",
    "Kind",
    "content_hash",
    "decode",
    "single_chunk_content_hash",
]

Descriptor = FileDescriptor | CollectionDescriptor


def content_hash(raw: bytes) -> bytes:
    """The content hash (32 bytes) of the content that the descriptor `raw` describes."""
    return blake3(raw).digest()


def decode(raw: bytes) -> Descriptor:
    """The descriptor that `raw` is. Raises MalformedError, and nothing else, for what must not be accepted.

    For every accepted `raw`, `decode(raw).encode() == raw`, so that what is passed on keeps its hash.
    """
    if len(raw) > MAX_DESCRIPTOR_BYTES:
        raise MalformedError(f"A descriptor has at most {MAX_DESCRIPTOR_BYTES} bytes, not {len(raw)}.")
    descriptor = _read(Reader(raw))
    # The received bytes are kept only where they carry odd keys that this version does not know.
    return descriptor if descriptor.encodes_to(raw) else dataclasses.replace(descriptor, received=raw)


def _read(reader: Reader) -> Descriptor:
    keys = reader.map_keys()
    version = None
    for key in keys:
        if key == VERSION_KEY:
            version = reader.scalar(int)
        elif key == KIND_KEY:
            break
        else:
            pass_unknown(reader, key)
    else:
        raise MalformedError("A descriptor lacks its kind.")
    kind = reader.scalar(str)
    if version is None:
        raise MalformedError("A descriptor lacks its version.")
    descriptor: Descriptor
    if version == VERSION and kind == Kind.FILE:
        descriptor = read_file(reader, keys)
    elif version == VERSION and kind == Kind.COLLECTION:
        descriptor = read_collection(reader, keys)
    else:
        refuse_newer()
    reader.finish()
    return descriptor
