"""What lies on this disk is not fetched: whole files by their hash, single chunks by theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.library import place_rows
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import Kind
from dhtshare.library.reuse import adopt_known
from dhtshare.library.unfinished import Unfinished
from tests.unit.library.library_fakes import (
    MIB,
    describe,
    describe_folder,
    file_item,
    folder_item,
    folder_layout,
    noise,
    write,
)

OLD = noise(5 * MIB, "old")
NEW = OLD[: 2 * MIB] + noise(MIB, "edited") + OLD[3 * MIB :] + noise(777, "grown")
"""A later version: the third chunk differs, and it has grown behind the fifth."""


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(tmp_path / "catalogue")
    yield opened
    opened.close()


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[Unfinished]:
    opened = Unfinished.open(tmp_path / "out", "new.bin", Layout.of(describe(NEW)), kind=Kind.FILE)
    yield opened
    opened.close()


def test_a_new_version_takes_over_what_did_not_change(catalogue: Catalogue, fetch: Unfinished, tmp_path: Path) -> None:
    catalogue.add([file_item(write(tmp_path / "old.bin", OLD))])
    assert adopt_known(fetch, catalogue) == 4 * MIB
    assert list(fetch.missing()) == [2, 5]
    assert fetch.reused == 4 * MIB
    fetch.store(2, NEW[2 * MIB : 3 * MIB])
    fetch.store(5, NEW[5 * MIB :])
    assert fetch.finish().read_bytes() == NEW


def test_chunks_may_lie_anywhere_in_the_other_file(catalogue: Catalogue, fetch: Unfinished, tmp_path: Path) -> None:
    """The same chunks in another order, in a member of a collection."""
    shuffled = OLD[4 * MIB :] + noise(MIB, "other") + OLD[: 2 * MIB]
    catalogue.add([folder_item(tmp_path / "folder", {"a/b.bin": shuffled, "c": b"small"})])
    assert adopt_known(fetch, catalogue) == 3 * MIB
    assert list(fetch.missing()) == [2, 3, 5]


def test_a_chunk_that_comes_twice_is_taken_twice(catalogue: Catalogue, tmp_path: Path) -> None:
    """A sparse file: zeros everywhere."""
    data = bytes(3 * MIB) + noise(MIB, "end")
    fetch = Unfinished.open(tmp_path / "out", "sparse", Layout.of(describe(data)), kind=Kind.FILE)
    catalogue.add([file_item(write(tmp_path / "zeros", bytes(MIB) + noise(MIB, "else")))])
    assert adopt_known(fetch, catalogue) == 3 * MIB
    assert list(fetch.missing()) == [3]
    fetch.close()


@pytest.mark.parametrize("rotten", [False, True])
def test_what_an_earlier_run_left_brings_what_is_the_same(catalogue: Catalogue, tmp_path: Path, rotten: bool) -> None:
    """It ended before all the zeros were stored."""
    data = bytes(MIB) + noise(MIB, "between") + bytes(3 * MIB)
    first = Unfinished.open(tmp_path / "out", "sparse", Layout.of(describe(data)), kind=Kind.FILE)
    first.store(2, bytes(MIB))
    first.close()
    if rotten:
        with first.part.open("r+b") as file:
            file.seek(2 * MIB)
            file.write(b"x")
    fetch = Unfinished.open(tmp_path / "out", "sparse", Layout.of(describe(data)), kind=Kind.FILE)
    assert adopt_known(fetch, catalogue) == (0 if rotten else 3 * MIB)
    assert list(fetch.missing()) == ([0, 1, 3, 4] if rotten else [1])
    fetch.close()


@pytest.mark.parametrize("harm", ["rotten", "shorter", "gone", "a folder now"])
def test_what_the_catalogue_says_is_not_believed(
    catalogue: Catalogue, fetch: Unfinished, tmp_path: Path, harm: str
) -> None:
    path = write(tmp_path / "old.bin", OLD)
    catalogue.add([file_item(path)])
    if harm == "rotten":
        with path.open("r+b") as file:
            file.seek(MIB + 5)
            file.write(b"\xff")
    elif harm == "shorter":
        with path.open("r+b") as file:
            file.truncate(MIB)
    else:
        path.unlink()
        if harm == "a folder now":
            path.mkdir()
    expected = {"rotten": 3 * MIB, "shorter": MIB, "gone": 0, "a folder now": 0}[harm]
    assert adopt_known(fetch, catalogue) == expected
    assert 2 in fetch.missing()


def test_a_planted_link_is_not_followed(catalogue: Catalogue, fetch: Unfinished, tmp_path: Path) -> None:
    path = write(tmp_path / "old.bin", OLD)
    catalogue.add([file_item(path)])
    path.rename(tmp_path / "moved.bin")
    path.symlink_to(tmp_path / "moved.bin")
    assert adopt_known(fetch, catalogue) == 0


def test_of_a_member_not_wanted_nothing_is_taken(catalogue: Catalogue, tmp_path: Path) -> None:
    files = {"old.bin": OLD, "other.bin": noise(2 * MIB, "o")}
    layout = folder_layout(files)
    fetch = Unfinished.open(tmp_path / "out", "album", layout, kind=Kind.COLLECTION, files=frozenset({1}))
    catalogue.add([file_item(write(tmp_path / "lies here", OLD))])
    assert adopt_known(fetch, catalogue) == 0
    fetch.close()


def test_many_small_files_are_one_question(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{number:04}.txt": b"%d" % number for number in range(1200)}
    catalogue.add([folder_item(tmp_path / "here", {name: data for name, data in files.items() if name < "1100"})])
    asked: list[int] = []
    of_contents = place_rows.of_contents

    def counted(tx: object, keys: list[bytes]) -> object:
        asked.append(len(keys))
        return of_contents(tx, keys)  # type: ignore[arg-type]

    monkeypatch.setattr(place_rows, "of_contents", counted)
    monkeypatch.setattr(place_rows, "of_content", lambda *_: pytest.fail("asked for one file"))
    fetch = Unfinished.open(tmp_path / "out", "album", Layout.of(describe_folder(files)), kind=Kind.COLLECTION)
    assert adopt_known(fetch, catalogue) == sum(len(data) for name, data in files.items() if name < "1100")
    assert asked == [1200]
    assert len(list(fetch.missing())) == 100
    fetch.close()


def test_questions_about_many_keys_go_in_batches(catalogue: Catalogue, tmp_path: Path) -> None:
    """More than one statement takes; unknown ones and repetitions among them."""
    files = {f"{number:04}": noise(20, str(number)) for number in range(1100)}
    catalogue.add([folder_item(tmp_path / "here", files)])
    keys = [describe(data).content_hash for data in files.values()]
    places = catalogue.places_of([*keys, *keys, bytes(32)])
    assert {key: [place.path for place in found] for key, found in places.items()} == {
        describe(data).content_hash: [tmp_path / "here" / name] for name, data in files.items()
    }
    descriptors = catalogue.descriptors([*keys, bytes(32)])
    assert descriptors == {describe(data).content_hash: describe(data).encode() for data in files.values()}
    assert catalogue.places_of([]) == catalogue.descriptors([]) == {}


@pytest.mark.parametrize(("size", "larger"), [(0, False), (1, False), (MIB, False), (MIB + 1, True), (3 * MIB, True)])
def test_only_files_of_several_chunks_are_looked_through(
    catalogue: Catalogue, tmp_path: Path, size: int, larger: bool
) -> None:
    catalogue.add([file_item(write(tmp_path / "file", noise(size) if size else b""))])
    assert len(list(catalogue.larger_descriptors())) == larger


def test_the_longest_descriptor_of_one_chunk_is_not_larger() -> None:
    """16 MiB in one chunk would be the largest size; the true limit is 1 MiB."""
    assert len(FileDescriptor(MIB, bytes(32)).encode()) <= place_rows.ONE_CHUNK_BYTES
    assert len(FileDescriptor(MIB + 1, bytes(64)).encode()) > place_rows.ONE_CHUNK_BYTES
