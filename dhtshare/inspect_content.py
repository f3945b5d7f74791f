"""What a content is, without fetching a chunk of it: its descriptor, its files, and who says to have what."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhtshare.content.descriptor import CollectionDescriptor, Descriptor, FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.errors import NotFoundError, UsageError
from dhtshare.fetch import nobody_has
from dhtshare.intake import Intake
from dhtshare.pace import hashing_progress
from dhtshare.several import Emit
from dhtshare.targets import Target, resolve_target
from dhtshare.transfer.asking import PeerHas
from dhtshare.transfer.availability import MAX_PARTS, Availability, parts_of

if TYPE_CHECKING:
    from dhtshare.node import Node

DESCRIPTOR_VERSION = 1


@dataclass(frozen=True, slots=True)
class InfoRequest:
    """What `dhtshare info` was asked: a hash, link or row, or the absolute path of a file or folder."""

    target: str
    timeout: float = 20.0


async def info(node: Node, request: InfoRequest, emit: Emit) -> dict[str, Any]:
    """The descriptor of a target and its availability; of a path what publishing it would make. Adds nothing."""
    if request.target.startswith("/"):
        return await _of_path(node, Path(request.target), emit)
    target = resolve_target(request.target, node.catalogue, node.config.network)
    raw, names, holders = await _find(node, target, request.timeout)
    name = target.name or min(names, key=lambda name: (-names[name], name), default=None)
    described, layout = await asyncio.to_thread(_read, raw)
    return {
        **described,
        "link": node.link(target.content_hash, name, layout.size, with_peer=False),
        "name": name,
        "providers": len(holders),
        **_availability(holders, layout),
    }


async def _of_path(node: Node, path: Path, emit: Emit) -> dict[str, Any]:
    # A name, so that a home folder can be looked at; nothing leaves the machine here.
    intake = Intake(
        node.catalogue,
        name=path.name or "root",
        progress=hashing_progress(emit),
    )
    try:
        prepared = await asyncio.to_thread(intake.path, path)
    except asyncio.CancelledError:
        intake.cancel()
        raise
    item = prepared.item
    described, _ = await asyncio.to_thread(_read, item.descriptor)
    return {
        **described,
        "link": node.link(item.content_hash, item.name, item.size, with_peer=False),
        "name": item.name,
        "path": str(item.path),
        "keywords": list(item.words),
        "skipped": prepared.skipped,
        "providers": None,
    }


async def _find(node: Node, target: Target, timeout: float) -> tuple[bytes, Counter[str], list[PeerHas]]:
    """The descriptor, what it is called, and who answered to hold how much of it."""
    if timeout <= 0:
        raise UsageError("--timeout takes seconds above 0.")
    own = node.catalogue.descriptor(target.content_hash)
    item = node.catalogue.item(target.content_hash)
    names: Counter[str] = Counter([item.name] if item is not None else [])
    if own is not None:
        holders = await node.finder.holders(target.content_hash, target.hints) if node.online else []
        return own, names, holders
    await node.require_contacts(has_hints=bool(target.hints))
    attempts = node.finder.attempts()
    async with node.finder.feed(target.content_hash, target.hints) as feed:
        try:
            found = await node.exchange.fetch_descriptor(
                target.content_hash, node.finder.peers(feed), timeout=timeout, attempts=attempts
            )
        except NotFoundError as error:
            raise nobody_has(target.content_hash, timeout) from error
    holders = await node.finder.holders(target.content_hash, target.hints, attempts=attempts)
    return found.raw, names + found.names, holders or list(found.holders)


def _read(raw: bytes) -> tuple[dict[str, Any], Layout]:
    """In a thread: what the descriptor says, and its layout."""
    descriptor, layout = Layout.read(raw)
    return _described(descriptor, layout), layout


def _described(descriptor: Descriptor, layout: Layout) -> dict[str, Any]:
    described: dict[str, Any] = {
        "hash": descriptor.content_hash.hex(),
        "kind": descriptor.kind.value,
        "version": DESCRIPTOR_VERSION,
        "size": layout.size,
        "chunks": layout.chunk_count,
        "descriptor_size": len(descriptor.encode()),
    }
    if isinstance(descriptor, FileDescriptor):
        return described | {"files": 1}
    return described | {
        "files": sum(not file.is_folder for file in layout.files),
        "entries": [_entry(descriptor, number) for number in range(len(descriptor.entries))],
    }


def _entry(descriptor: CollectionDescriptor, number: int) -> dict[str, Any]:
    entry = descriptor.entries[number]
    if entry.is_folder:
        return {"path": entry.path}
    return {
        "path": entry.path,
        "size": entry.size,
        "hash": entry.content_hash.hex(),
        "executable": entry.executable,
    }


def _availability(holders: list[PeerHas], layout: Layout) -> dict[str, Any]:
    """Full copies among those who answered, how often the rarest chunk exists, and what nobody has.

    Those who count the chunks in another way are left out: a number of theirs must not become our work.
    """
    held = [holder for holder in holders if holder.chunks == layout.chunk_count]
    available = Availability.of(
        layout.chunk_count,
        (None if holder.complete else holder.have.to_int() if holder.have is not None else 0 for holder in held),
    )
    return {
        "full_copies": available.full,
        "rarest": available.rarest,
        "copies": round(available.copies, 2),
        "missing_everywhere": available.nobody.bit_count() if held else layout.chunk_count,
        "missing": [part.fields() for part in islice(parts_of(layout, available.nobody), MAX_PARTS)] if held else [],
    }
