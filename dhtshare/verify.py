"""Re-hashing the library: every file in it is read again and compared with what was published.

Withdrawn items are verified too, since their files were never deleted. Never repairs and never removes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dhtshare.content.hasher import hash_file_state
from dhtshare.content.link import parse_hash
from dhtshare.errors import DhtshareError, IntegrityError, NotFoundError, UsageError
from dhtshare.library.records import Place, State, StoredPlace
from dhtshare.pace import Paced
from dhtshare.several import Emit

if TYPE_CHECKING:
    from dhtshare.node import Node


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What `dhtshare verify` was asked: one content hash of the library, or all of it."""

    hash: str | None = None


async def verify(node: Node, request: VerifyRequest, emit: Emit) -> dict[str, Any]:
    """Re-hash and report. IntegrityError (6), with the result attached, while anything differs."""
    content_hash = parse_hash(request.hash) if request.hash is not None else None
    catalogue = node.catalogue
    places = list(catalogue.places(content_hash))
    if content_hash is not None and not places and catalogue.item(content_hash) is None:
        raise NotFoundError(f"{request.hash} is not in this library. See: dhtshare list.")
    total = sum(place.size for place in places)
    progress = Paced(emit, "verifying", total)
    stop = threading.Event()
    try:
        checked = await asyncio.to_thread(_check_all, places, progress, stop)
    finally:
        stop.set()
    problems: list[dict[str, Any]] = []
    for place, found in checked:
        if isinstance(found, Place):
            if place.state is State.SHARED and found.mtime_ns == place.mtime_ns:
                continue  # nothing to write: each write is made durable
            await node.library_changed(await catalogue.run(catalogue.confirm, found))
            continue
        await node.library_changed(await catalogue.run(catalogue.mark, place.path, found))
        problems.append({"path": str(place.path), "hash": place.content_hash.hex(), "state": found.value})
    result = {"files": len(places), "bytes": total, "ok": len(places) - len(problems), "problems": problems}
    if problems:
        first = problems[0]
        error = IntegrityError(
            f"{len(problems)} of {len(places)} files differ from what was published; first: {first['path']} is "
            f"{first['state']}. Restore it, or publish it again."
        )
        error.result = result
        raise error
    return result


def _check_all(
    places: Iterable[StoredPlace], progress: Paced, stop: threading.Event
) -> list[tuple[StoredPlace, Place | State]]:
    return [(place, _check(place, progress, stop)) for place in places]


def _check(place: StoredPlace, progress: Paced, stop: threading.Event) -> Place | State:
    """The place as it is now where its bytes are right, else what is wrong with it."""
    try:
        hashed = hash_file_state(place.path, progress=progress.add, cancelled=stop.is_set, follow_symlink=False)
    except UsageError:
        return State.MISSING
    except DhtshareError:
        if stop.is_set():
            raise
        return State.CHANGED
    if hashed.descriptor.content_hash != place.content_hash:
        return State.CHANGED
    return Place(place.path, hashed.descriptor.size, hashed.mtime_ns)
