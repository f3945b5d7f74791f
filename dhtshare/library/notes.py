"""What the catalogue remembers from one command to the next: numbers, due renewals, search rows, fetches."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from dhtshare.library import note_rows
from dhtshare.library.database import Database
from dhtshare.library.records import DueTime, SearchRow, UnfinishedFetch
from dhtshare.library.sequence import SequenceCounter

_SEQUENCE = "sequence_ceiling"


class Notes:
    """The part of a catalogue that is not about files. As safe from several threads, and as durable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sequence_lock = threading.Lock()
        with database.read() as tx:
            self._sequence = SequenceCounter(note_rows.fact(tx, _SEQUENCE))

    def next_sequence(self, unix_ms: int) -> int:
        """A number for a signed entry: at least `unix_ms`, greater than every one before, across restarts.

        Touches the disk once a minute at most, so the event loop may call it.
        """
        with self._sequence_lock:
            return self._sequence.next(unix_ms, self._reserve_sequence)

    def _reserve_sequence(self, last: int, ahead: int) -> int:
        with self._database.write() as tx:
            before = note_rows.fact(tx, _SEQUENCE)
            note_rows.set_fact(tx, _SEQUENCE, max(before, last) + ahead)
        return before

    def due_times(self) -> list[DueTime]:
        """When records are due, the earliest first."""
        with self._database.read() as tx:
            return note_rows.due_times(tx)

    def set_due(self, times: Iterable[DueTime]) -> None:
        """Notes when records are due."""
        with self._database.write() as tx:
            note_rows.set_due(tx, times)

    def clear_due(self, content_hash: bytes) -> None:
        """Forgets when the records of a content are due."""
        with self._database.write() as tx:
            note_rows.clear_due(tx, [content_hash])

    def save_search(self, rows: Sequence[SearchRow]) -> None:
        """Keeps the numbered rows of a search, from 1, in place of those of the search before."""
        with self._database.write() as tx:
            note_rows.save_search(tx, rows)

    def search_row(self, number: int) -> SearchRow:
        """Row `number` of the last search. Raises UsageError when there is none."""
        with self._database.read() as tx:
            return note_rows.search_row(tx, number)

    def begin_fetch(self, fetch: UnfinishedFetch) -> None:
        """Notes a fetch that begins."""
        with self._database.write() as tx:
            note_rows.begin_fetch(tx, fetch)

    def end_fetch(self, content_hash: bytes) -> None:
        """Forgets a fetch that is finished or given up."""
        with self._database.write() as tx:
            note_rows.end_fetch(tx, content_hash)

    def fetches(self) -> list[UnfinishedFetch]:
        """The fetches that were begun and neither finished nor given up."""
        with self._database.read() as tx:
            return note_rows.fetches(tx)

    def return_sequences(self) -> None:
        """Gives back numbers that were reserved and not used, so that a restart need not skip them."""
        ceiling, last = self._sequence.unused()
        if ceiling == last:
            return
        with self._sequence_lock, self._database.write() as tx:
            if note_rows.fact(tx, _SEQUENCE) == ceiling:
                note_rows.set_fact(tx, _SEQUENCE, last)
