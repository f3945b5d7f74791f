"""Where the bytes of one chunk can be read: an open file, an offset and a length.

Disk and wire both speak of it; it lives here because neither of them may import the other.
"""

from __future__ import annotations

from typing import NamedTuple


class OpenChunk(NamedTuple):
    """A place to send from. The descriptor stays open until it is given back to whoever opened it."""

    fd: int
    offset: int
    length: int
