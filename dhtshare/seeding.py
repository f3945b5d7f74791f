"""What this node shares, kept findable: the library's items and their records in the DHT, told of each other.

The library is the truth; every record follows from it. Publishing, fetching, watching and noticing that a
file changed all end here, so that nothing is offered that is not announced, nor announced that is not there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dhtshare.content.descriptor import Descriptor, FileDescriptor
from dhtshare.content.hasher import hash_file
from dhtshare.content.keywords import collection_words, words_for
from dhtshare.content.layout import Layout
from dhtshare.dht.records.agenda import Agenda
from dhtshare.dht.records.announcer import Announcer
from dhtshare.dht.records.entry import sign_entry, sign_withdrawal
from dhtshare.dht.records.limits import ENTRY_TTL
from dhtshare.dht.records.provider import PEER_BYTES, ProviderClaim
from dhtshare.dht.records.receipts import Receipt
from dhtshare.errors import DiskError, MalformedError
from dhtshare.intake import Intake, Prepared
from dhtshare.library.recheck import recheck
from dhtshare.library.records import DueTime, Item, Kind, Member, NewItem, Place, State
from dhtshare.library.unfinished import Unfinished
from dhtshare.library.watch import watch

if TYPE_CHECKING:
    from dhtshare.node import Node

log = logging.getLogger(__name__)

RECHECK_SECONDS = 600.0
OFFERED = (State.SHARED, State.PARTIAL)
ENTRY_RECORD = "entry"
MOST_TOLD = 3  # items by name, of those that changed at once
_TOLD = {
    State.CHANGED: "was changed, or some of it, after it was published, and is not offered any more.",
    State.MISSING: "is gone, or some of it, from where it was published, and is not offered any more.",
}


class Seeding:
    """The shared part of a library while its node is online."""

    def __init__(self, node: Node, rng: random.Random) -> None:
        self._node = node
        self._noticed: asyncio.Queue[Item] = asyncio.Queue()
        self._announcer = Announcer(
            node.records.holdings,
            network=node.network,
            agenda=Agenda(rng),
            make_entry=self._make_entry,
            make_withdrawal=self._make_withdrawal,
            claim=lambda partial: ProviderClaim(node.announced_port, node.identity.peer_id[:PEER_BYTES], partial),
            wall=time.time,
            keep_due=self._keep_due,
        )

    # ---- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the records alive and the library true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announcer.run())
            group.create_task(self._keep_true())

    async def leave(self) -> None:
        """Take the provider records back before the node goes, best effort."""
        await self._announcer.leave()

    async def _keep_true(self) -> None:
        """Announce the whole library, then keep looking whether it is still what it was."""
        catalogue = self._node.catalogue
        for lost in catalogue.lost:
            await self._publish_again(lost.path, lost.keywords, lost.name, each=lost.each)
        await self._look_again()
        due = {one.content_hash: one.at for one in catalogue.due_times() if one.record == ENTRY_RECORD}
        for item in catalogue.items(members=True, states=OFFERED):
            if item.content_hash not in self._announcer:
                self._announcer.share(item.content_hash, item.words, entry_at=due.get(item.content_hash))
        while True:
            try:
                async with asyncio.timeout(RECHECK_SECONDS):
                    noticed = [await self._noticed.get()]
            except TimeoutError:
                await self._look_again()
                continue
            while not self._noticed.empty():  # a disk that is gone takes all that lay on it
                noticed.append(self._noticed.get_nowait())
            await self._follow(noticed)

    async def _look_again(self) -> None:
        """At every file. What the catalogue could not note is found again by the next look."""
        with _disk_failures_told("what changed in the library is noted later"):
            await self._follow(await asyncio.to_thread(recheck, self._node.catalogue))

    async def _follow(self, changed: Sequence[Item]) -> None:
        """What nobody asked about is told on the way: whose file it is may not know."""
        worse = [item for item in changed if item.part_of is None and item.state in _TOLD]
        for item in worse[:MOST_TOLD]:
            log.warning("%.80s %s See: dhtshare list", item.name, _TOLD[item.state])
        if len(worse) > MOST_TOLD:
            log.warning("… and %d others. See: dhtshare list", len(worse) - MOST_TOLD)
        await self.refresh(changed)

    def notice(self, item: Item) -> None:
        """An item was found changed, missing, or there again. Call on the loop."""
        self._noticed.put_nowait(item)

    # ---- publishing -----------------------------------------------------------------------------

    async def share(self, items: Sequence[NewItem]) -> None:
        """Put items into the library, durably, and see to their records."""
        catalogue = self._node.catalogue
        changed = await catalogue.run(catalogue.add, items)
        hashes = dict.fromkeys(item.content_hash for item in items)
        self._announce(item for content_hash in hashes if (item := catalogue.item(content_hash)) is not None)
        await self.refresh(changed)

    async def refresh(self, items: Iterable[Item]) -> None:
        """Follow items whose state changed: announce what is here again, take back what is not."""
        changed = list(items)
        self._announce(item for item in changed if item.state in OFFERED)
        await self.withdraw([item for item in changed if item.state not in OFFERED])

    def _announce(self, items: Iterable[Item]) -> None:
        for item in items:
            self._announcer.share(item.content_hash, item.words)

    async def withdraw(self, items: Sequence[Item]) -> int:
        """Take back the records of items; how many withdrawals were acknowledged."""
        if not self._node.online:
            return 0
        return sum(await asyncio.gather(*(self._announcer.unshare(item.content_hash, item.words) for item in items)))

    async def receipt(self, content_hash: bytes) -> Receipt:
        """What the network said to this content's records, once it has said it."""
        return await self._announcer.receipt(content_hash)

    @property
    def shared(self) -> int:
        """How many contents are kept announced."""
        return len(self._announcer)

    def receipts(self) -> Collection[Receipt]:
        """The last receipt of each content that has one."""
        return self._announcer.receipts().values()

    # ---- what is signed -------------------------------------------------------------------------

    def _make_entry(self, content_hash: bytes) -> bytes | None:
        item = self._node.catalogue.item(content_hash)
        if item is None or not item.words:
            return None
        wall = self._node.records.record_wall()
        try:
            return sign_entry(
                self._node.identity.publisher,
                self._node.network,
                content_hash=content_hash,
                sequence=self._sequence(wall),
                expires=int(wall + ENTRY_TTL),
                kind=item.kind,
                size=item.size,
                name=item.name,
                words=item.words,
            )
        except MalformedError as error:  # what one item is called must not end the node that shares the others
            log.warning("%.80s is not found by its words: %s", item.name, error)
            return None

    def _make_withdrawal(self, content_hash: bytes) -> bytes:
        wall = self._node.records.record_wall()
        return sign_withdrawal(
            self._node.identity.publisher,
            self._node.network,
            content_hash=content_hash,
            sequence=self._sequence(wall),
            expires=int(wall + ENTRY_TTL),
        )

    def _sequence(self, wall: float) -> int:
        """A number greater than those before. While the disk keeps none, Unix milliseconds alone: they grow, too."""
        with _disk_failures_told("records are renewed all the same"):
            return self._node.catalogue.next_sequence(int(wall * 1000))
        return int(wall * 1000)

    async def _keep_due(self, due: dict[bytes, float]) -> None:
        catalogue = self._node.catalogue
        times = [DueTime(content_hash, ENTRY_RECORD, at) for content_hash, at in due.items()]
        with _disk_failures_told("a restart announces anew what is not due yet"):
            await catalogue.run(catalogue.set_due, times)

    # ---- fetching -------------------------------------------------------------------------------

    @asynccontextmanager
    async def partial(self, unfinished: Unfinished, descriptor: bytes, name: str) -> AsyncIterator[None]:
        """While inside, the verified chunks of a fetch are served and announced (design.md, section 7)."""
        shelf, content_hash = self._node.shelf, unfinished.content_hash
        shelf.add_unfinished(unfinished, descriptor, name)
        self._announcer.share(content_hash, partial=True)
        try:
            yield
        finally:
            shelf.remove_unfinished(content_hash)
            if not self._node.shelf.offer(content_hash):
                await self._announcer.unshare(content_hash)

    async def fetched(
        self, descriptor: Descriptor, layout: Layout, unfinished: Unfinished, name: str, path: Path
    ) -> None:
        """Who downloads becomes a seed: put a finished fetch into the library and announce it whole."""
        item = await asyncio.to_thread(_fetched_item, descriptor, layout, unfinished, name, path)
        await self.share([item])

    # ---- watching -------------------------------------------------------------------------------

    async def watch(self, directory: Path) -> None:
        """`--share`: publish each file of a folder singly, and withdraw what is deleted. Never returns."""
        catalogue = self._node.catalogue
        directory = await asyncio.to_thread(directory.resolve)

        async def take(paths: list[Path]) -> list[Path]:
            return [path for path in paths if not await self._publish_again(path, (), None)]

        async def drop(paths: list[Path]) -> None:
            for path in paths:
                item = catalogue.item_at(path)
                if item is not None:
                    with _disk_failures_told(f"{path.name} is taken back when the disk can be written"):
                        await self.withdraw(await catalogue.run(catalogue.withdraw, item.content_hash))

        known = [place for place in catalogue.places() if directory in place.path.parents]
        await watch(directory, known, take, drop)

    async def _publish_again(
        self, path: Path, keywords: Sequence[str], name: str | None, *, each: bool = False
    ) -> bool:
        """Publish without anybody waiting for it; False where it cannot be."""
        intake = Intake(
            self._node.catalogue, keywords=keywords, name=name, each=each, progress=lambda _name, _total: _not_told
        )
        try:
            outcome = await asyncio.to_thread(intake.try_path, path)
        except asyncio.CancelledError:
            intake.cancel()
            raise
        if isinstance(outcome, Prepared):
            with _disk_failures_told(f"{path.name} is not shared yet"):
                await self.share(outcome.items)
                return True
        else:
            log.info("not shared: %s", outcome)
        return False


@contextmanager
def _disk_failures_told(what_follows: str) -> Iterator[None]:
    """Around what goes on by itself: a full or failing disk costs this step, never the node."""
    try:
        yield
    except DiskError as error:
        log.warning("%s Meanwhile %s.", error, what_follows)


def _not_told(_count: int) -> None:
    """Nobody waits for this hashing."""


def _fetched_item(descriptor: Descriptor, layout: Layout, unfinished: Unfinished, name: str, path: Path) -> NewItem:
    """The library's view of a finished fetch. Blocking: small members are hashed once more."""
    places = list(unfinished.finished_places())
    whole = NewItem(
        content_hash=layout.content_hash,
        kind=Kind(descriptor.kind),
        name=name,
        path=path,
        size=layout.size,
        files=sum(not file.is_folder for file in layout.files),
        chunks=layout.chunk_count,
        descriptor=descriptor.encode(),
        words=words_for((), name),
        place=places[0][1] if isinstance(descriptor, FileDescriptor) else None,
        added=time.time(),
    )
    if isinstance(descriptor, FileDescriptor):
        return whole
    members = [Member(number, place, _member_descriptor(layout, number, place)) for number, place in places]
    words = collection_words((), name, (file.path for file in layout.files))
    return dataclasses.replace(whole, words=words, members=members)


def _member_descriptor(layout: Layout, number: int, place: Place) -> bytes:
    known = layout.descriptor_of(number)
    return (known or hash_file(place.path)).encode()
