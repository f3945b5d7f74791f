"""What a node says of itself: its library, its state, its contacts and peers, its limits. Changes only limits."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhtshare.announced import announced, behind
from dhtshare.dht.report import contact_report, status_report
from dhtshare.errors import DiskError, UsageError
from dhtshare.library.recheck import recheck
from dhtshare.library.records import Item
from dhtshare.several import Emit

if TYPE_CHECKING:
    from dhtshare.node import Node


@dataclass(frozen=True, slots=True)
class ListRequest:
    """`dhtshare list`: the library; `members` with what is announced because of a collection."""

    members: bool = False


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """`dhtshare status`."""


@dataclass(frozen=True, slots=True)
class PeersRequest:
    """`dhtshare peers`."""


@dataclass(frozen=True, slots=True)
class LimitRequest:
    """`dhtshare limit`: bytes per second, 0 = unlimited, None = as it is."""

    max_upload: int | None = None
    max_download: int | None = None


async def list_items(node: Node, request: ListRequest, emit: Emit) -> dict[str, Any]:
    """The library, looked at afresh: what changed or vanished since is said."""
    unnoted = await _look_again(node)
    items = [_item(item) for item in node.catalogue.items(members=request.members)]
    return {"items": items, "home": str(node.home.path), "warnings": unnoted}


async def _look_again(node: Node) -> list[str]:
    """Note what changed or vanished in the library; where the disk does not let us, a sentence that says so.

    Whoever only looks is shown what is known: a full disk is when people look.
    """
    try:
        await node.library_changed(await asyncio.to_thread(recheck, node.catalogue))
    except DiskError as error:
        return [f"Not all states are as they are now. {error}"]
    return []


def _item(item: Item) -> dict[str, Any]:
    return {
        "hash": item.content_hash.hex(),
        "name": item.name,
        "path": str(item.path),
        "kind": item.kind.value,
        "size": item.size,
        "files": item.files,
        "chunks": item.chunks,
        "keywords": list(item.words),
        "state": item.state.value,
        "part_of": item.part_of.hex() if item.part_of is not None else None,
        "added": item.added,
    }


async def status(node: Node, request: StatusRequest, emit: Emit) -> dict[str, Any]:
    """The running node as it is now."""
    unnoted = await _look_again(node)
    counts = node.catalogue.count()
    transfers = node.exchange.stats()
    announcements = announced(node.seeding.receipts(), shared=node.seeding.shared, wall=time.time())
    return {
        **node.identity_fields(),
        "version": node.version,
        "network": node.config.network,
        "home": str(node.home.path),
        "pid": os.getpid(),
        "uptime": round(time.monotonic() - node.started_at, 3),
        "contacts": node.contacts,
        "dht": status_report(node.dht),
        "records": node.records_held(),
        "clock_is_wrong": node.records.clock_warning is not None,
        "announcements": announcements,
        "refused": node.lookout.report(),
        "warnings": [
            *(text for text in (node.records.clock_warning, behind(announcements)) if text),
            *node.lookout.warnings(),
            *unnoted,
        ],
        "library": {state.value: counts.get(state, 0) for state in counts},
        "transfers": {
            "connections": transfers.connections,
            "uploaded": transfers.uploaded,
            "downloaded": transfers.downloaded,
            "fetches": node.fetches,
        },
        "rates": {
            "upload": transfers.upload_rate,
            "download": transfers.download_rate,
            "max_upload": node.limits.upload.rate,
            "max_download": node.limits.download.rate,
        },
        "memory": memory(),
    }


async def peers(node: Node, request: PeersRequest, emit: Emit) -> dict[str, Any]:
    """The contacts of the DHT, and who is connected over TCP."""
    return {"contacts": contact_report(node.dht), "peers": [_peer(peer) for peer in node.exchange.peers()]}


def _peer(peer: Any) -> dict[str, Any]:
    return {
        "address": str(peer.address),
        "incoming": peer.incoming,
        "encrypted": peer.encrypted,
        "agent": peer.agent,
        "uploaded": peer.uploaded,
        "downloaded": peer.downloaded,
    }


async def limit(node: Node, request: LimitRequest, emit: Emit) -> dict[str, Any]:
    """Change the rates of the running node, and say what they are."""
    for rate in (request.max_upload, request.max_download):
        if rate is not None and rate < 0:
            raise UsageError("A rate limit is not negative; 0 means unlimited.")
    now = time.monotonic()
    if request.max_upload is not None:
        node.limits.upload.set_rate(request.max_upload, now)
    if request.max_download is not None:
        node.limits.download.set_rate(request.max_download, now)
    return {"max_upload": node.limits.upload.rate, "max_download": node.limits.download.rate}


def memory() -> int:
    """Resident bytes of this process; where the system does not say what it is now, the highest so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
