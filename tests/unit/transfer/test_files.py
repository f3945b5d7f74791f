"""How far each file of a collection is, whatever the order of its chunks."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor
from dhtshare.content.file import EMPTY_FILE_HASH
from dhtshare.content.layout import Layout
from dhtshare.transfer.files import SHOWN, FileProgress
from dhtshare.transfer.missing import Missing

MIB = 1 << 20


def collection(*chunks: int) -> Layout:
    """Files of so many chunks each; 0 is an empty file."""
    entries = [
        CollectionEntry(f"{n:02}", count * MIB, bytes([n] * 32) if count else EMPTY_FILE_HASH, False)
        for n, count in enumerate(chunks)
    ]
    return Layout.of(CollectionDescriptor.of(entries))


def progress_of(layout: Layout, chunks: Iterable[int]) -> FileProgress:
    return FileProgress(layout, Missing.of(layout, chunks))


def test_a_content_that_is_one_file_has_nothing_to_tell() -> None:
    layout = Layout.of(FileDescriptor(3 * MIB, bytes(96)))
    assert progress_of(layout, range(3)).fields() == {}


def test_a_collection_of_one_file_has() -> None:
    progress = progress_of(collection(2), range(2))
    progress.stored(1)
    assert progress.fields() == {
        "files": 1,
        "files_done": 0,
        "current": [{"path": "00", "chunks": 2, "chunks_done": 1}],
    }
    progress.stored(0)
    assert progress.fields() == {"files": 1, "files_done": 1, "current": []}


def test_what_was_here_before_counts_as_done_in_its_file_and_not_among_the_files() -> None:
    """The first file is whole; of the second two chunks are here; the third is not wanted."""
    progress = progress_of(collection(1, 4, 2), [3, 4])
    assert progress.total == 1
    progress.stored(4)
    assert progress.fields()["current"] == [{"path": "01", "chunks": 4, "chunks_done": 3}]


def test_the_files_that_moved_last_are_shown() -> None:
    progress = progress_of(collection(*[2] * 6), range(12))
    for chunk in (0, 2, 4, 6, 8, 2 * 2 + 1):
        progress.stored(chunk)
    current = progress.fields()["current"]
    assert isinstance(current, list)
    assert [file["path"] for file in current] == ["04", "03", "01"]
    assert len(current) == SHOWN


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 2**32))
def test_counts_are_those_of_counting(chunks: list[int], seed: int) -> None:
    layout = collection(*chunks)
    rng = random.Random(seed)
    missing = [chunk for chunk in range(layout.chunk_count) if rng.random() < 0.7]
    progress = progress_of(layout, missing)
    lacking = {layout.slot(chunk).file for chunk in missing}
    assert progress.total == len(lacking)
    rng.shuffle(missing)
    while missing:
        progress.stored(missing.pop())
        assert progress.done == len(lacking) - len({layout.slot(chunk).file for chunk in missing})
    assert progress.done == progress.total
