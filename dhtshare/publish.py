"""The story of a publish: path → chunks → descriptor → library → provider record + keyword entries → DHT.

Nothing is copied: what is published is served where it lies. Once the library holds it durably, a kill
loses nothing; the receipt then says what the network holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhtshare.content.link import is_link, parse_hash, parse_link
from dhtshare.errors import DhtshareError, NotFoundError, QuorumError, UsageError
from dhtshare.intake import Intake, Prepared
from dhtshare.library.records import State
from dhtshare.pace import hashing_progress
from dhtshare.several import Emit, failed, raise_for

if TYPE_CHECKING:
    from dhtshare.dht.records.receipts import Receipt
    from dhtshare.node import Node

BATCH = 256  # paths that become one durable transaction of the catalogue


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What `dhtshare publish` was asked; paths are absolute."""

    paths: list[str]
    keywords: list[str] = field(default_factory=list)
    name: str | None = None
    each: bool = False
    wait: bool = True


@dataclass(frozen=True, slots=True)
class UnpublishRequest:
    """What `dhtshare unpublish` was asked: a hash or a link of ours."""

    hash: str


async def publish(node: Node, request: PublishRequest, emit: Emit) -> list[dict[str, Any]]:
    """Publish every path; one result object each, in order.

    Raises what went wrong with the results attached: QuorumError (8) where the network acknowledged too
    little, PartialFailureError (3) where some paths failed.
    """
    if not request.paths:
        raise UsageError("Name at least one file or folder to publish.")
    if request.name is not None and len(request.paths) > 1:
        raise UsageError("--name names one thing; publish one path with it.")
    if request.name == "":
        raise UsageError("--name is empty. Leave it out to publish under the file's own name.")
    distinct = _distinct(request.paths, emit)
    outcomes: list[Prepared | DhtshareError] = []
    for paths in _batches(distinct, BATCH):
        prepared = await _prepare(node, request, paths, emit)
        fresh = [one for one in prepared if isinstance(one, Prepared)]
        await node.seeding.share([item for one in fresh for item in one.items])
        outcomes += prepared
    return await _results(node, distinct, outcomes, emit, wait=request.wait)


def _distinct(paths: Sequence[str], emit: Emit) -> list[str]:
    seen: dict[Path, str] = {}
    for path in paths:
        real = Path(path).resolve()
        if real in seen:
            emit({"event": "message", "message": f"{path} was given twice; it is published once."})
        seen.setdefault(real, path)
    return list(seen.values())


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def _prepare(
    node: Node, request: PublishRequest, paths: Sequence[str], emit: Emit
) -> list[Prepared | DhtshareError]:
    """Hash paths in a worker thread; a single path that fails raises."""
    intake = Intake(
        node.catalogue,
        keywords=request.keywords,
        name=request.name,
        each=request.each,
        progress=hashing_progress(emit),
    )
    try:
        outcomes = await asyncio.to_thread(lambda: [intake.try_path(Path(path)) for path in paths])
    except asyncio.CancelledError:
        intake.cancel()
        raise
    if len(request.paths) == 1 and isinstance(outcomes[0], DhtshareError):
        raise outcomes[0]
    return outcomes


async def _results(
    node: Node, paths: Sequence[str], outcomes: Sequence[Prepared | DhtshareError], emit: Emit, *, wait: bool
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    failures: list[DhtshareError] = []
    weak: list[str] = []
    alone: list[str] = []
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, DhtshareError):
            failures.append(outcome)
            results.append(failed(path, outcome))
            continue
        receipt = await node.seeding.receipt(outcome.item.content_hash) if wait else None
        if receipt is not None and receipt.alone:
            alone.append(outcome.item.name)
        elif receipt is not None and not receipt.quorum:
            weak.append(outcome.item.name)
        results.append(_result(node, outcome, receipt))
    for notice in _notices(node, alone):
        emit({"event": "message", "message": notice})
    raise_for(failures, results)
    if weak:
        error = QuorumError(
            f"Announced below quorum: {_listed(weak)}. "
            "It stays shared and is announced again by itself; see: dhtshare status."
        )
        error.result = results
        raise error
    return results


def _notices(node: Node, alone: Sequence[str]) -> Iterator[str]:
    """What keeps others from finding or fetching what was published, though nothing failed."""
    if alone:
        yield f"No other node is known yet; {_listed(alone)} will be announced when one is."
    if any(scope.undialable for scope in node.dht.scopes.values()):
        yield (
            "Others cannot dial this node, so nobody outside can fetch from it: forward TCP and UDP port "
            f"{node.listening.port} to this machine. See: dhtshare status"
        )
    if node.records.clock_warning is not None:
        yield node.records.clock_warning


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _result(node: Node, prepared: Prepared, receipt: Receipt | None) -> dict[str, Any]:
    item = prepared.item
    return {
        "hash": item.content_hash.hex(),
        "link": node.link(item.content_hash, item.name, item.size),
        "name": item.name,
        "kind": item.kind.value,
        "size": item.size,
        "files": item.files,
        "chunks": item.chunks,
        "keywords": list(item.words),
        "skipped": prepared.skipped,
        "receipt": None if receipt is None else receipt_object(receipt),
    }


def receipt_object(receipt: Receipt) -> dict[str, Any]:
    """The JSON shape of a receipt; all counts but the Unix time of the next renewal."""
    return {
        "keys": receipt.keys,
        "acks": receipt.acks,
        "holders": receipt.holders,
        "verified": receipt.verified,
        "quorum": receipt.quorum,
        "full": list(receipt.full),
        "next_renewal": receipt.next_renewal,
    }


async def unpublish(node: Node, request: UnpublishRequest, emit: Emit) -> dict[str, Any]:
    """Withdraw a content of this library: no longer served, its records withdrawn. Never deletes a file."""
    content_hash = parse_link(request.hash).content_hash if is_link(request.hash) else parse_hash(request.hash)
    withdrawn = await node.catalogue.run(node.catalogue.withdraw, content_hash)
    if not withdrawn:
        item = node.catalogue.item(content_hash)
        if item is None or item.state is not State.WITHDRAWN:
            raise NotFoundError(f"{request.hash} is not in this library. See: dhtshare list.")
    acknowledged = await node.seeding.withdraw(withdrawn)
    return {"hash": content_hash.hex(), "withdrawn": len(withdrawn), "acks": acknowledged}
