"""The story of a search: words → keyword keys → lookup → entries, verified and merged → ranked hits.

Hits stream as they arrive; who holds them is asked while the lookups still run. Only what a provider
confirmed to this searcher counts in the ranking, and no holder's hits are asked about before another's.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dhtshare.content.keywords import words_for
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.search import Found, Search
from dhtshare.errors import NotFoundError, UsageError
from dhtshare.library.records import Kind, SearchRow
from dhtshare.probing import Prober
from dhtshare.ranking import Hit, HitList, rank
from dhtshare.several import Emit

if TYPE_CHECKING:
    from dhtshare.node import Node

DEFAULT_LIMIT = 50
MAX_LIMIT = 5000
PROBED_HITS = 50  # beyond, `providers` is null (design.md, section 5)


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What `dhtshare search` was asked. Sizes in bytes, timeout in seconds."""

    words: list[str]
    limit: int = DEFAULT_LIMIT
    kind: str | None = None
    ext: str | None = None
    min_size: int | None = None
    max_size: int | None = None
    timeout: float = 10.0


async def search(node: Node, request: SearchRequest, emit: Emit) -> dict[str, Any]:
    """All contents whose entries carry every word. NotFoundError (4), with the result attached, if none."""
    query = _query(request)
    started = asyncio.get_running_loop().time()
    await node.require_contacts(has_hints=False)
    hits = HitList()
    running = node.records.search(query)
    prober = Prober(node.finder, PROBED_HITS, node.own_network)
    timed_out = False
    try:
        async with prober, asyncio.timeout(request.timeout):
            async with aclosing(running.entries()) as entries:
                async for found in entries:
                    _take(found, hits, prober, emit)
            _drop_withdrawn(running, hits)
            await prober.finish(hits.hits())
    except TimeoutError:
        timed_out = True
        _drop_withdrawn(running, hits)
    ranked = rank(hits.hits())[: request.limit]
    await _remember(node, ranked)
    result = {
        "query": list(query.words),
        "results": [_row(node, hit) for hit in ranked],
        "nodes_asked": running.nodes_asked,
        "nodes_answered": running.nodes_answered,
        "suspicious": running.suspicious,
        "timed_out": timed_out,
        "seconds": round(asyncio.get_running_loop().time() - started, 6),
    }
    if not ranked:
        error = NotFoundError(_nothing(request, running.nodes_answered, timed_out))
        error.result = result
        raise error
    return result


def _query(request: SearchRequest) -> Query:
    # As names are taken apart: an extension is no word, so that a file is found by its whole name.
    words = tuple(dict.fromkeys(word for text in request.words for word in words_for((), text)))
    if not words:
        raise UsageError("There is no word to search for: single letters and signs are not words.")
    if request.kind is not None and request.kind not in tuple(Kind):
        raise UsageError(f"--kind is {' or '.join(Kind)}, not '{request.kind}'.")
    if not 0 < request.limit <= MAX_LIMIT:
        raise UsageError(f"--limit takes 1 to {MAX_LIMIT}.")
    if request.timeout <= 0:
        raise UsageError("--timeout takes seconds above 0.")
    if request.min_size is not None and request.max_size is not None and request.min_size > request.max_size:
        raise UsageError("--min-size is above --max-size; nothing can match.")
    return Query(
        words=words,
        kind=request.kind,
        extension=request.ext.lower().lstrip(".") if request.ext else None,
        min_size=request.min_size,
        max_size=request.max_size,
        limit=max(request.limit, PROBED_HITS),
    )


def _take(found: Found, hits: HitList, prober: Prober, emit: Emit) -> None:
    entry, before = found.entry, len(hits)
    hit = hits.add(
        content_hash=entry.content_hash,
        kind=entry.kind,
        size=entry.size,
        name=entry.name,
        publisher=entry.publisher,
        told_by=found.told_by,
    )
    if len(hits) > before:
        emit({"event": "hit", "hash": hit.content_hash.hex(), "name": hit.name, "kind": hit.kind, "size": hit.size})
    prober.add(hit, found.told_by)


def _drop_withdrawn(running: Search, hits: HitList) -> None:
    for publisher, content_hash in running.withdrawn:
        hits.withdraw(publisher, content_hash)


async def _remember(node: Node, ranked: list[Hit]) -> None:
    if ranked:
        rows = [SearchRow(hit.content_hash, hit.name, hit.size, Kind(hit.kind)) for hit in ranked]
        await node.catalogue.run(node.catalogue.save_search, rows)


def _row(node: Node, hit: Hit) -> dict[str, Any]:
    return {
        "hash": hit.content_hash.hex(),
        "link": node.link(hit.content_hash, hit.name, hit.size, with_peer=False),
        "name": hit.name,
        "names": hit.other_names(),
        "kind": hit.kind,
        "size": hit.size,
        "publishers": len(hit.publishers),
        "providers": hit.providers,
    }


def _nothing(request: SearchRequest, answered: int, timed_out: bool) -> str:
    asked = " ".join(request.words)
    nodes = "1 node" if answered == 1 else f"{answered} nodes"
    more = f" within {request.timeout:g} s" if timed_out else ""
    return f"Nothing found for '{asked}'{more}; {nodes} answered. Try fewer or other words."
