"""How much fits into the datagrams of one answer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from dhtshare.dht.messages import Request
from dhtshare.dht.wire import MAX_PARTS

T = TypeVar("T")


def rooms(request: Request, wanted: int, first_head: int, part_head: int) -> list[int]:
    """Bytes for items in each datagram that the asker wants and may have; the first one always counts."""
    further = min(wanted, MAX_PARTS) - 1 if request.more_room > part_head else 0
    return [max(0, request.room - first_head), *([request.more_room - part_head] * further)]


def fill(items: Iterable[T], size: Callable[[T], int], rooms: Sequence[int]) -> tuple[list[list[T]], bool]:
    """Items in order into the datagrams, and whether all of them found room."""
    parts: list[list[T]] = [[]]
    left = rooms[0]
    for item in items:
        need = size(item)
        while need > left and len(parts) < len(rooms):
            left = rooms[len(parts)]
            parts.append([])
        if need > left:
            break
        parts[-1].append(item)
        left -= need
    else:
        return _trimmed(parts), True
    return _trimmed(parts), False


def _trimmed(parts: list[list[T]]) -> list[list[T]]:
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts
