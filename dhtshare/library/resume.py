"""Taking up a fetch where an earlier run left it: whose part it is, and which of its claims hold.

After a kill under the same boot, what the bitmap says is in the part; after a reboot each claimed chunk is
hashed, since the bytes may never have reached the disk; after a failed fsync it is written again as well.
"""

from __future__ import annotations

import os
from collections import defaultdict

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.content.paths import PART_SUFFIX, dot_name
from dhtshare.errors import UsageError
from dhtshare.library.boot import boot_tag
from dhtshare.library.claims import BITMAP_SUFFIX, Claims
from dhtshare.library.landing import remove_tree
from dhtshare.library.part_files import PartFiles
from dhtshare.library.records import Kind
from dhtshare.library.rehash import Reader

_MARK_DIGITS = 8


def has_part(root: int, name: str) -> bool:
    """Whether an earlier run left a bitmap for `name`, perhaps right before it would have been removed."""
    try:
        os.stat(dot_name(name, BITMAP_SUFFIX), dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def bitmap_names(name: str, content_hash: bytes) -> list[str]:
    """What the bitmap of a fetch of this content to `name` may be called."""
    return [dot_name(name, mark + BITMAP_SUFFIX) for mark in _marks(content_hash)]


def claim_part(root: int, name: str, content_hash: bytes) -> tuple[Claims, str]:
    """The locked bitmap of the part for `name` in the folder `root`, and the part's name.

    Where another content is being fetched under the same name, its part is left alone and ours gets some
    digits of the hash. Raises UsageError while another process fetches the same, OSError.
    """
    for mark in _marks(content_hash):
        claims = Claims.open(root, dot_name(name, mark + BITMAP_SUFFIX))
        try:
            if not claims.claims_other(content_hash):
                return claims, dot_name(name, mark + PART_SUFFIX)
        except BaseException:
            claims.close()
            raise
        claims.close()
    raise UsageError(f"Other fetches of {name} are unfinished here. Name another folder with -o.")


def resume(claims: Claims, parts: PartFiles, layout: Layout, have: Bitfield, reader: Reader) -> bool:
    """Adds to `have` the claimed chunks that are in the part files. False when nothing at all was claimed.

    Chunks whose file's descriptor is unknown cannot be hashed, and count only where no hashing is needed.
    Raises OSError, InterruptedByUserError.
    """
    found = claims.read(layout.content_hash, layout.chunk_count, boot_tag())
    if found is None:
        return False
    claimed, trusted = found
    again = claims.doubted()
    by_file: dict[int, list[int]] = defaultdict(list)
    for chunk in claimed:
        if chunk not in have:
            by_file[layout.slot(chunk).file].append(chunk)
    for file, chunks in by_file.items():
        size = parts.size(file)
        if size is None or size > layout.files[file].size:
            continue
        inside = [chunk for chunk in chunks if layout.slot(chunk).offset + layout.slot(chunk).length <= size]
        for chunk in inside if trusted else _hashed(parts, layout, file, inside, reader, again=again):
            have.add(chunk)
    return True


def forget_junk(root: int, part_name: str, kind: Kind) -> None:
    """Removes a part folder that no bitmap speaks for: what is in it must not land. Raises OSError.

    A part file is kept: all its bytes are going to be overwritten, and its pages need not be allocated again.
    """
    if kind is Kind.COLLECTION:
        remove_tree(root, part_name)


def _marks(content_hash: bytes) -> tuple[str, str]:
    return "", f".{content_hash.hex()[:_MARK_DIGITS]}"


def _hashed(
    parts: PartFiles, layout: Layout, file: int, chunks: list[int], reader: Reader, *, again: bool
) -> list[int]:
    if layout.needs_descriptor(file):
        return []
    right: list[int] = []
    fd = parts.borrow(file)
    try:
        for chunk, data in reader.right_chunks(fd, layout, chunks):
            if again:
                parts.write(layout.slot(chunk), data)
            right.append(chunk)
    finally:
        os.close(fd)
    return right
