"""The catalogue: all that this node shares and stores, kept in one SQLite file and durable when a call returns.

Every method may be called from any thread. Reads are one or a few indexed queries and wait for no writer;
writes fsync, so the event loop hands them to the catalogue's one worker thread by `run`. Holds no list of
the library in memory: ten thousand files or a hundred thousand members cost nothing until asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from sqlite3 import Connection
from typing import ParamSpec, TypeVar

from dhtshare.errors import DiskError
from dhtshare.library import item_rows, note_rows, place_rows
from dhtshare.library.database import Database
from dhtshare.library.integrity import open_sound
from dhtshare.library.journal import Journal
from dhtshare.library.notes import Notes
from dhtshare.library.records import Item, Lost, NewItem, Place, State, StoredPlace
from dhtshare.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

#: Rows read at a time while streaming: few enough to hold the lock for about a millisecond.
_PAGE = 256
_REBUILDING = "rebuilding"


class Catalogue(Notes):
    """One home's library. Invariant: what a returned call said is on the disk, whatever happens next."""

    def __init__(self, database: Database, journal: Journal, lost: tuple[Lost, ...]) -> None:
        """Use `open`."""
        super().__init__(database)
        self._journal = journal
        self._worker = Threads(1, "catalogue")
        self.lost = lost
        """What a torn catalogue held and this one lacks: each to be hashed and published again. Usually empty."""
        self.generation = 0
        """Grows with every change of what is shared, so that others know when to look again."""

    @classmethod
    def open(cls, path: Path) -> Catalogue:
        """The catalogue at `path`, made if missing, rebuilt from its journal if torn. Raises DiskError."""
        database, new = open_sound(path)
        try:
            journal = Journal(path.with_name("shared.jsonl"))
            lost = _lost(database, journal, new)
            if not lost:
                journal.compact()
                _prune(database)
            return cls(database, journal, lost)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Ends the worker thread, once it has done what it was asked, and closes the file."""
        self._worker.shutdown()
        try:
            with contextlib.suppress(DiskError):  # numbers that a disk does not take back are skipped
                self.return_sequences()
        finally:
            self._database.close()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`await catalogue.run(catalogue.add, items)`: one call on the worker thread, in order of the asking."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, functools.partial(call, *args, **kwargs))

    # What is shared

    def add(self, items: Iterable[NewItem]) -> list[Item]:
        """Shares items, or renews them, in one durable transaction.

        Returns other items that stand differently by it: CHANGED, where their path holds these bytes now, or
        SHARED again, where a file that they lacked has come back.
        """
        items = list(items)
        self._journal.shared(items)
        with self._database.write() as tx:
            touched = item_rows.put(tx, items)
            changed = item_rows.settle(tx, item_rows.touched_by(tx, touched))
        self.generation += 1
        return changed

    def withdraw(self, content_hash: bytes) -> list[Item]:
        """Shares an item no longer. It and the members that went with it, as they were; empty if it was not shared."""
        self._journal.withdrawn([content_hash])
        with self._database.write() as tx:
            gone = item_rows.withdraw(tx, content_hash)
            note_rows.clear_due(tx, [item.content_hash for item in gone])
        self.generation += 1
        return gone

    def item(self, content_hash: bytes) -> Item | None:
        """What was shared under this hash."""
        with self._database.read() as tx:
            return item_rows.by_hash(tx, content_hash)

    def item_at(self, path: Path) -> Item | None:
        """What was published from this path."""
        with self._database.read() as tx:
            return item_rows.by_path(tx, path)

    def items(self, *, members: bool = False, states: Collection[State] | None = None) -> Iterator[Item]:
        """All items in the order of their publishing, in these states only; `members` adds those part of another."""
        return self._stream(functools.partial(item_rows.page, members=members, states=states))

    def count(self) -> dict[State, int]:
        """How many items there are in each state, members not counted."""
        with self._database.read() as tx:
            return {State(state): n for state, n in tx.execute(_COUNT)}

    def members_here(self, collection: bytes) -> list[int]:
        """The file numbers of a collection whose bytes lie on this disk."""
        with self._database.read() as tx:
            return item_rows.members_here(tx, collection)

    def is_served(self, content_hash: bytes) -> bool:
        """Whether bytes of this content may go out: its item is not withdrawn, or it belongs to such a collection."""
        with self._database.read() as tx:
            item = item_rows.by_hash(tx, content_hash)
            return item.state is not State.WITHDRAWN if item else item_rows.is_member_of_something(tx, content_hash)

    # Descriptors

    def descriptor(self, content_hash: bytes) -> bytes | None:
        """The descriptor of any content known here, members and unfinished ones included."""
        with self._database.read() as tx:
            row = tx.execute("SELECT descriptor FROM content WHERE hash = ?", (content_hash,)).fetchone()
        return None if row is None else bytes(row[0])

    def descriptors(self, hashes: Iterable[bytes]) -> dict[bytes, bytes]:
        """The descriptors of those contents that are known here, by content hash."""
        keys = list(dict.fromkeys(hashes))
        with self._database.read() as tx:
            return place_rows.descriptors(tx, keys)

    def larger_descriptors(self) -> Iterator[bytes]:
        """The descriptors of all contents of more than one chunk that lie, or lay, on this disk."""
        return self._stream(place_rows.larger_descriptors)

    def remember_descriptors(self, descriptors: Iterable[bytes]) -> None:
        """Keeps descriptors of what is being fetched, so that a resumed fetch asks for none again."""
        with self._database.write() as tx:
            for raw in descriptors:
                place_rows.put_content(tx, raw)

    # Files on this disk

    def known(self, path: Path, size: int, mtime_ns: int) -> bytes | None:
        """The content hash of this file, if nothing about it changed since it was hashed: it need not be again."""
        with self._database.read() as tx:
            return place_rows.known(tx, Place(path, size, mtime_ns))

    def places(self, content_hash: bytes | None = None) -> Iterator[StoredPlace]:
        """Where a content lies or lay, places that still hold it first; without a hash every place there is."""
        if content_hash is None:
            return self._stream(place_rows.page)
        with self._database.read() as tx:
            return iter(place_rows.of_content(tx, content_hash))

    def places_of(self, hashes: Iterable[bytes]) -> dict[bytes, list[StoredPlace]]:
        """Where these contents lie or lay, by content hash, as `places` tells it of one."""
        keys = list(dict.fromkeys(hashes))
        found: dict[bytes, list[StoredPlace]] = {}
        with self._database.read() as tx:
            for place in place_rows.of_contents(tx, keys):
                found.setdefault(place.content_hash, []).append(place)
        return found

    def _stream(self, read_page: Callable[[Connection, int, int], list[tuple[int, T]]]) -> Iterator[T]:
        """Rows page by page, so that no lock is held and no list kept while the caller works on one."""
        after = 0
        while True:
            with self._database.read() as tx:
                page = read_page(tx, after, _PAGE)
            yield from (row for _, row in page)
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def mark(self, path: Path, state: State) -> list[Item]:
        """Notes that a file is CHANGED, MISSING, or SHARED as it was. The items that stand differently now."""
        return self.mark_all([(path, state)])

    def mark_all(self, states: Iterable[tuple[Path, State]]) -> list[Item]:
        """`mark` for many files in one transaction."""
        with self._database.write() as tx:
            changed = item_rows.settle(tx, item_rows.touched_by(tx, place_rows.mark(tx, states)))
        self.generation += 1
        return changed

    def confirm(self, place: Place) -> list[Item]:
        """Notes that a file was hashed again and holds what it held. The items that stand differently now."""
        with self._database.write() as tx:
            changed = item_rows.settle(tx, item_rows.touched_by(tx, place_rows.confirm(tx, [place])))
        self.generation += 1
        return changed


_COUNT = "SELECT state, count(*) FROM item WHERE part_of IS NULL GROUP BY state"


def _lost(database: Database, journal: Journal, new: bool) -> tuple[Lost, ...]:
    """What the journal says is shared and a catalogue that was made anew does not hold yet."""
    with database.read() as tx:
        if not new and not note_rows.fact(tx, _REBUILDING):
            return ()
        lost = tuple(entry for key, entry in journal.live().items() if item_rows.by_hash(tx, key) is None)
    with database.write() as tx:  # stands until all are back, however often the rebuilding is cut off
        note_rows.set_fact(tx, _REBUILDING, int(bool(lost)))
    return lost


def _prune(database: Database) -> None:
    """Forgets what nothing refers to, unless an unfinished fetch may come back for its descriptors."""
    with database.write() as tx:
        if not note_rows.fetches(tx):
            item_rows.prune(tx)
