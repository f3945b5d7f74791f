"""Invariants of the library's pure parts, and of an unfinished file under any order of stores and restarts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.content.bitfield import Bitfield
from dhtshare.library.ledger import Ledger
from dhtshare.library.records import Kind
from dhtshare.library.sequence import RESERVED, SequenceCounter
from dhtshare.library.settling import REST_SECONDS, Settling
from dhtshare.library.unfinished import Unfinished
from tests.unit.library.library_fakes import MIB, chunk_of, folder_layout, noise

SIZES = {"a": 5, "b/two": MIB + 1, "c": MIB, "d/": 0, "e": 0, "f/three": 2 * MIB + 9}
FILES = {path: noise(size, path) for path, size in SIZES.items()}
LAYOUT = folder_layout(FILES)


class Disk:
    """The stored ceiling, shared by the processes of a home."""

    def __init__(self) -> None:
        self.ceiling = 0

    def store(self, last: int, ahead: int) -> int:
        before = self.ceiling
        self.ceiling = max(before, last) + ahead
        return before


@given(st.lists(st.tuples(st.sampled_from(["next", "kill", "other"]), st.integers(0, 10 * RESERVED)), max_size=60))
def test_numbers_are_never_used_twice_and_grow_within_a_process(acts: list[tuple[str, int]]) -> None:
    disk = Disk()
    counter, other = SequenceCounter(0), SequenceCounter(0)
    used: set[int] = set()
    last = 0
    for act, clock in acts:
        if act == "kill":
            counter = SequenceCounter(disk.ceiling)
            continue
        number = (counter if act == "next" else other).next(clock, disk.store)
        assert number not in used
        assert clock <= number <= disk.ceiling
        used.add(number)
        if act == "next":
            assert number > last
            last = number


SNAPSHOTS = st.lists(
    st.tuples(
        st.floats(0.0, 3.0),
        st.dictionaries(st.sampled_from([Path("/a"), Path("/b")]), st.tuples(st.integers(0, 2), st.integers(0, 2))),
    ),
    max_size=40,
)


@given(SNAPSHOTS)
def test_a_watched_file_is_taken_only_as_it_rested_and_dropped_only_when_taken(
    steps: list[tuple[float, dict[Path, tuple[int, int]]]],
) -> None:
    settling = Settling()
    shared: dict[Path, tuple[int, int]] = {}
    since: dict[Path, tuple[tuple[int, int], float]] = {}
    now = 0.0
    for pause, snapshot in steps:
        now += pause
        for path in list(since):
            if snapshot.get(path) != since[path][0]:
                del since[path]
        for path, stamp in snapshot.items():
            since.setdefault(path, (stamp, now))
        decisions = settling.scanned(snapshot, now)
        for path in decisions.take:
            assert now - since[path][1] >= REST_SECONDS
            assert shared.get(path) != snapshot[path]
            shared[path] = snapshot[path]
        for path in decisions.drop:
            assert path not in snapshot
            del shared[path]
        assert shared.keys() <= snapshot.keys()


@given(st.permutations(range(LAYOUT.chunk_count)), st.sets(st.integers(0, len(SIZES) - 1)))
def test_a_ledger_counts_every_file_whole_exactly_once(order: list[int], files: set[int]) -> None:
    ledger = Ledger(LAYOUT, files)
    assert ledger.lacking() == sum(LAYOUT.files[file].size for file in files)
    for index in [*order, *order]:
        assert ledger.chunk_written(index) == set(), "no batch is full of so little"
    assert list(ledger.missing()) == []
    assert ledger.have == Bitfield.full(LAYOUT.chunk_count)
    assert list(ledger.outside(files)) == [c for c in range(LAYOUT.chunk_count) if LAYOUT.slot(c).file not in files]
    with_chunks = {number for number, slot in enumerate(LAYOUT.files) if slot.chunk_count}
    assert ledger._unsynced == with_chunks
    assert ledger._unsynced_bytes == LAYOUT.size


@settings(max_examples=25)
@given(
    st.permutations(range(LAYOUT.chunk_count)),
    st.sets(st.integers(0, LAYOUT.chunk_count)),
    st.lists(st.sampled_from([None, ["a"], ["b", "f"], ["c", "d", "e"]]), max_size=2),
)
def test_any_order_of_chunks_and_restarts_ends_with_the_right_bytes(
    order: list[int], restarts: set[int], wishes: list[list[str] | None]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        stored: set[int] = set()
        for only in [*wishes, None]:
            files = None if only is None else frozenset(LAYOUT.select(only))
            fetch = Unfinished.open(directory, "it", LAYOUT, kind=Kind.COLLECTION, files=files)
            for number, index in enumerate(order):
                if number in restarts:
                    fetch.close()
                    fetch = Unfinished.open(directory, "it", LAYOUT, kind=Kind.COLLECTION, files=files)
                assert stored & set(fetch.wanted) <= set(fetch.have), "what was verified once is never lost"
                if index in fetch.wanted:
                    fetch.store(index, chunk_of(LAYOUT, FILES, index))
                    stored.add(index)
            fetch.finish()
            fetch.close()
        assert [entry.name for entry in directory.iterdir()] == ["it"]
        for path, data in FILES.items():
            assert (
                (directory / "it" / path).is_dir()
                if path.endswith("/")
                else (directory / "it" / path).read_bytes() == data
            )
