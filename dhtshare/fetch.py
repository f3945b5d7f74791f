"""The story of a fetch: hash or link → providers → descriptor → swarm → verified chunks → file → library.

Readable top to bottom. What arrives is verified by the swarm, lies beside the target under a dot name until
it is whole, and is announced from the start when this node stays a seed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhtshare.content.descriptor import CollectionDescriptor, Descriptor
from dhtshare.content.layout import Layout
from dhtshare.content.paths import safe_name
from dhtshare.errors import NotFoundError, UsageError
from dhtshare.library.begun import Begun
from dhtshare.library.opening import Opening
from dhtshare.library.records import Kind, UnfinishedFetch
from dhtshare.library.reuse import adopt_known, know_descriptors
from dhtshare.library.unfinished import IfExists, Unfinished
from dhtshare.several import Emit, one_by_one
from dhtshare.targets import Target, parse_peer, resolve_target
from dhtshare.transfer.missing import Missing
from dhtshare.transfer.one_chunk import Whole, told
from dhtshare.transfer.swarm import Swarm, SwarmOptions, SwarmResult

if TYPE_CHECKING:
    from dhtshare.node import Node
    from dhtshare.providers import ProviderFeed

NAME_FROM_HASH_DIGITS = 16

KEEP_SECONDS = 2.0
"""A kill costs no more of what was learned about a collection's files."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What `dhtshare fetch` was asked. `seed` None: stay a seed if this is a running node."""

    targets: list[str]
    output: str
    only: list[str] = field(default_factory=list)
    sequential: bool = False
    peers: list[str] = field(default_factory=list)
    overwrite: bool = False
    rename: bool = False
    seed: bool | None = None
    timeout: float = 60.0


async def fetch(node: Node, request: FetchRequest, emit: Emit) -> list[dict[str, Any]]:
    """Fetch every target, one after another; one result object each, in order."""
    if request.overwrite and request.rename:
        raise UsageError("--overwrite and --rename exclude each other; choose one.")
    if request.timeout <= 0:
        raise UsageError("--timeout takes seconds above 0.")
    hints = tuple(parse_peer(peer) for peer in request.peers)

    async def fetch_target(text: str) -> dict[str, Any]:
        target = resolve_target(text, node.catalogue, node.config.network)
        target = Target(target.text, target.content_hash, target.name, target.size, hints + target.hints)
        return await _Fetch(node, request, target, emit).run()

    return await one_by_one(request.targets, fetch_target, emit)


def nobody_has(content_hash: bytes, timeout: float) -> NotFoundError:
    """What is said when no provider was found in time."""
    return NotFoundError(
        f"Nobody who has {content_hash.hex()} was found within {timeout:g} s. Try again later, or name a --peer."
    )


class _Fetch:
    """One target on its way. Each step is a method, in the order in which they happen."""

    def __init__(self, node: Node, request: FetchRequest, target: Target, emit: Emit) -> None:
        self._node = node
        self._request = request
        self._target = target
        self._emit = emit
        self._hash = target.content_hash
        self._seeds = request.seed if request.seed is not None else not node.config.client
        self._attempts = node.finder.attempts()
        self._started = asyncio.get_running_loop().time()

    async def run(self) -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            feed = await stack.enter_async_context(self._node.finder.feed(self._hash, self._target.hints))
            raw, names, whole = await self._descriptor(feed)
            descriptor, layout = await asyncio.to_thread(Layout.read, raw)
            await asyncio.to_thread(know_descriptors, layout, self._node.catalogue)
            name = self._name(names)
            unfinished = await self._open(stack, descriptor, layout, name)
            await asyncio.to_thread(adopt_known, unfinished, self._node.catalogue)
            outcome = begun = None
            if isinstance(descriptor, CollectionDescriptor) and not unfinished.complete:
                begun = await self._begin(descriptor, layout, unfinished)
            if not unfinished.complete:
                if whole is not None:
                    outcome = await self._store(layout, unfinished, whole)
                else:
                    if self._seeds:
                        await stack.enter_async_context(self._node.seeding.partial(unfinished, raw, name))
                    outcome = await self._keeping(begun, self._swarm(layout, unfinished, feed))
            path = await asyncio.to_thread(unfinished.finish)
            seconds = asyncio.get_running_loop().time() - self._started
            if self._seeds:
                await self._node.seeding.fetched(descriptor, layout, unfinished, name, path)
            if begun is not None:
                await asyncio.to_thread(begun.end)
        return self._result(path, unfinished, outcome, seconds)

    async def _descriptor(self, feed: ProviderFeed) -> tuple[bytes, Counter[str], Whole | None]:
        """The descriptor, from our own catalogue or the first peer that proves to have it; and its names.

        A file of one chunk comes along, whole.
        """
        raw = self._node.catalogue.descriptor(self._hash)
        if raw is not None:
            item = self._node.catalogue.item(self._hash)
            return raw, Counter([item.name]) if item is not None else Counter(), None
        await self._node.require_contacts(has_hints=bool(self._target.hints))
        self._emit({"event": "searching", "hash": self._hash.hex()})
        peers = self._node.finder.peers(feed)
        try:
            found = await self._node.exchange.fetch_descriptor(
                self._hash, peers, timeout=self._request.timeout, attempts=self._attempts, want_whole=True
            )
        except NotFoundError as error:
            raise nobody_has(self._hash, self._request.timeout) from error
        return found.raw, found.names, found.whole

    def _name(self, names: Counter[str]) -> str:
        """NAME of the link or row, else what most serving peers call it, else the start of the hash."""
        if self._target.name:
            return safe_name(self._target.name)
        usual = min((name for name in names if name), key=lambda name: (-names[name], name), default="")
        return safe_name(usual) if usual else self._hash.hex()[:NAME_FROM_HASH_DIGITS]

    async def _open(self, stack: AsyncExitStack, descriptor: Descriptor, layout: Layout, name: str) -> Unfinished:
        """The unfinished file or folder beside the target, with whatever an earlier run left in it.

        `stack` closes it, also where this fails when the thread has opened it.
        """
        request = self._request
        files: frozenset[int] | None = None
        if request.only:
            if not isinstance(descriptor, CollectionDescriptor):
                raise UsageError("--only chooses files of a collection, and this is a single file.")
            files = frozenset(layout.select(request.only))
            if not files:
                raise NotFoundError(f"Nothing in {name} matches {', '.join(request.only)}. See: dhtshare info.")
        exists = IfExists.OVERWRITE if request.overwrite else IfExists.RENAME if request.rename else IfExists.REFUSE
        opening = Opening()
        stack.callback(opening.close)
        opened = asyncio.get_running_loop().run_in_executor(
            None,
            partial(
                opening.open,
                Path(request.output),
                name,
                layout,
                kind=Kind(descriptor.kind),
                files=files,
                exists=exists,
            ),
        )
        try:
            return await asyncio.shield(opened)
        except asyncio.CancelledError:  # the thread goes on: what it opens it closes again, and a rerun finds it free
            opening.close()
            await asyncio.wait([opened])
            raise

    async def _begin(self, descriptor: Descriptor, layout: Layout, unfinished: Unfinished) -> Begun:
        """Have the catalogue keep what a later run needs to go on with this fetch."""
        fetch = UnfinishedFetch(
            content_hash=self._hash,
            kind=Kind(descriptor.kind),
            name=unfinished.path.name,
            size=layout.size,
            directory=unfinished.path.parent,
            only=tuple(self._request.only),
            started=time.time(),
        )
        begun = Begun(self._node.catalogue, fetch, layout)
        await asyncio.to_thread(begun.begin)
        return begun

    async def _keeping(self, begun: Begun | None, work: Coroutine[None, None, SwarmResult]) -> SwarmResult:
        """Do this, and now and then keep what was learned by it: a kill or a power cut comes unannounced."""
        if begun is None:
            return await work

        async def keep() -> None:
            while True:
                await asyncio.sleep(KEEP_SECONDS)
                await asyncio.to_thread(begun.keep)

        keeping = asyncio.create_task(keep(), name="keep descriptors")
        try:
            return await work
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await asyncio.to_thread(begun.keep)

    async def _store(self, layout: Layout, unfinished: Unfinished, whole: Whole) -> SwarmResult:
        """All of it came instead of the descriptor."""
        await asyncio.to_thread(unfinished.store, 0, whole.data)
        now = asyncio.get_running_loop().time()
        return told(layout, whole, lambda event: self._emit({**event, "name": unfinished.path.name}), now)

    async def _swarm(self, layout: Layout, unfinished: Unfinished, feed: ProviderFeed) -> SwarmResult:
        """Fetch what is missing from everybody who has it, while the feed keeps naming more."""
        await self._node.require_contacts(has_hints=bool(self._target.hints))
        missing = await asyncio.to_thread(Missing.of, layout, unfinished.missing())
        swarm = Swarm(
            self._node.exchange,
            layout,
            unfinished,
            options=SwarmOptions(sequential=self._request.sequential, timeout=self._request.timeout),
            on_event=lambda event: self._emit({**event, "name": unfinished.path.name}),
            attempts=self._attempts,
            missing=missing,
        )

        async def introduce() -> None:
            async for lead in feed.stream():
                swarm.add_peer(lead.address, peer_id=lead.peer_id, source=lead.origin, told_by=lead.told_by)

        introducing = asyncio.create_task(introduce(), name="introduce peers")
        try:
            return await swarm.run()
        finally:
            introducing.cancel()
            await asyncio.gather(introducing, return_exceptions=True)

    def _result(
        self, path: Path, unfinished: Unfinished, outcome: SwarmResult | None, seconds: float
    ) -> dict[str, Any]:
        sources = outcome.sources if outcome else ()
        return {
            "hash": self._hash.hex(),
            "path": str(path),
            "size": unfinished.wanted_bytes,
            "seconds": round(seconds, 6),
            "downloaded": outcome.downloaded if outcome else 0,
            "reused": unfinished.resumed + unfinished.reused + (outcome.copied if outcome else 0),
            "discarded": outcome.discarded if outcome else 0,
            "sources": [
                {
                    "address": source.address,
                    "chunks": source.chunks,
                    "bytes": source.bytes,
                    "bad_chunks": source.bad_chunks,
                    "incoming": source.incoming,
                }
                for source in sources
            ],
        }
