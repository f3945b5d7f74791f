"""Sizes and rates as typed."""

from __future__ import annotations


def size(text: str | None) -> int | None:
    """Bytes of '1.5M', None for None. Raises UsageError."""
    if text is None:
        return None
    from dhtshare.config import parse_size  # late: it brings the hash library with it

    return parse_size(text)
