"""What a fetch that has not ended left on the disk, looked at from outside, without its lock."""

from __future__ import annotations

import os
from pathlib import Path

from dhtshare.content.bitfield import Bitfield
from dhtshare.library.boot import NO_BOOT
from dhtshare.library.claims import BITMAP_SUFFIX, Claims


def claimed(folder: Path, content: bytes, chunks: int) -> Bitfield | None:
    """The chunks that the bitmap of the one unfinished fetch in `folder` names; None where there is no bitmap."""
    bitmap = next(iter(folder.glob(f".*{BITMAP_SUFFIX}")), None)
    if bitmap is None:
        return None
    fd = os.open(bitmap, os.O_RDONLY)
    try:
        read = Claims(-1, bitmap.name, fd).read(content, chunks, NO_BOOT)
    finally:
        os.close(fd)
    return Bitfield(chunks) if read is None else read[0]
