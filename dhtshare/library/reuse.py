"""What of a wanted content lies somewhere on this disk already, and need not be fetched.

Whole files first, wherever they were published from; then single chunks that other files share: the version of a
disk image before this one, a log that has grown. Nothing is believed unhashed.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from dhtshare.content.chunks import chunk_size
from dhtshare.content.descriptor import FileDescriptor, decode
from dhtshare.content.layout import Layout
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.unfinished import Unfinished
from dhtshare.nofollow import open_file

HASH_BYTES = 32


def know_descriptors(layout: Layout, catalogue: Catalogue) -> int:
    """Gives a layout those members' descriptors that the catalogue has; how many."""
    lacking = [number for number in range(len(layout.files)) if layout.needs_descriptor(number)]
    known = catalogue.descriptors(layout.files[number].content_hash for number in lacking)
    count = 0
    for number in lacking:
        raw = known.get(layout.files[number].content_hash)
        if raw is not None:
            layout.set_descriptor(number, raw)
            count += 1
    return count


def adopt_known(unfinished: Unfinished, catalogue: Catalogue) -> int:
    """Copies into an unfinished content what this library has of it, verified chunk by chunk; the bytes gained.

    Looks for each file that lacks chunks by its own content hash, so it does not matter whether the file was
    published alone or as a member; one question to the catalogue, however many files there are. A copy that cannot
    be read is passed over. Raises DiskError when writing fails.
    """
    layout = unfinished.layout
    know_descriptors(layout, catalogue)
    lacking = sorted({layout.slot(chunk).file for chunk in unfinished.missing()})
    places = catalogue.places_of(layout.files[number].content_hash for number in lacking)
    gained = 0
    for number in lacking:
        for place in places.get(layout.files[number].content_hash, ()):
            gained += unfinished.adopt(place.path, number)
            if all(chunk in unfinished.have for chunk in layout.chunks_of_file(number)):
                break
    return gained + _adopt_chunks(unfinished, catalogue)


def _adopt_chunks(unfinished: Unfinished, catalogue: Catalogue) -> int:
    """The missing chunks that are the same bytes as one that is here, or that other contents of the library have, too:
    their descriptors say so, their bytes prove it.

    Reads the chunk hashes of all larger files here: 32 MB for a library of 1 TB.
    """
    layout = unfinished.layout
    wanted: dict[bytes, list[int]] = defaultdict(list)
    for index in unfinished.missing():
        file, chunk, _, _ = layout.slot(index)
        descriptor = layout.descriptor_of(file)
        if descriptor is not None:
            wanted[descriptor.chunk_hash(chunk)].append(index)
    if not wanted:
        return 0
    gained = _adopt_own(unfinished, wanted)
    for content, found in _shared_chunks(wanted.keys(), catalogue):
        for place in catalogue.places(content):
            with contextlib.suppress(OSError):  # of reading only: `store` raises DiskError
                fd = open_file(place.path)
                try:
                    for offset, length, chunk_hash in found:
                        if indexes := wanted.get(chunk_hash):
                            gained += _copy(fd, offset, length, indexes, unfinished)
                finally:
                    os.close(fd)
    unfinished.reused += gained
    return gained


def _adopt_own(unfinished: Unfinished, wanted: Mapping[bytes, list[int]]) -> int:
    """What an earlier run left has some of them: it ended before all that is the same was stored."""
    layout, gained = unfinished.layout, 0
    for index in list(unfinished.have):
        file, chunk, _, _ = layout.slot(index)
        descriptor = layout.descriptor_of(file)
        indexes = wanted.get(descriptor.chunk_hash(chunk), []) if descriptor is not None else []
        if all(other in unfinished.have for other in indexes):
            continue
        opened = unfinished.open_chunk(index)
        try:
            with contextlib.suppress(OSError):  # of reading only: `store` raises DiskError
                gained += _copy(opened.fd, opened.offset, opened.length, indexes, unfinished)
        finally:
            os.close(opened.fd)
    return gained


def _shared_chunks(
    wanted: Iterable[bytes], catalogue: Catalogue
) -> Iterator[tuple[bytes, list[tuple[int, int, bytes]]]]:
    """Contents of the library with any of these chunks: which, where in them, and how long."""
    hashes = frozenset(wanted)
    for raw in catalogue.larger_descriptors():
        descriptor = decode(raw)
        if not isinstance(descriptor, FileDescriptor):
            continue
        all_hashes, step = descriptor.chunk_hashes, chunk_size(descriptor.size)
        found = []
        for at in range(0, len(all_hashes), HASH_BYTES):
            if (chunk_hash := all_hashes[at : at + HASH_BYTES]) in hashes:
                offset = at // HASH_BYTES * step
                found.append((offset, min(step, descriptor.size - offset), chunk_hash))
        if found:
            yield descriptor.content_hash, found


def _copy(fd: int, offset: int, length: int, indexes: list[int], unfinished: Unfinished) -> int:
    """Store what lies there as these chunks, if it is what they should be; the bytes gained."""
    missing = [index for index in indexes if index not in unfinished.have]
    if not missing:
        return 0
    data = os.pread(fd, length, offset)
    if not unfinished.layout.verify(missing[0], data):
        return 0
    for index in missing:
        unfinished.store(index, data)
    return len(data) * len(missing)
