"""A collection that was begun is gone on with after a reboot: what its files' chunks should be is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.content.descriptor import CollectionDescriptor
from dhtshare.content.layout import Layout
from dhtshare.library.begun import Begun
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import Kind, UnfinishedFetch
from dhtshare.library.reuse import know_descriptors
from dhtshare.library.unfinished import Unfinished
from tests.unit.library.library_fakes import MIB, chunk_of, describe, describe_folder, file_item, noise, write

FILES = {"a/big": noise(2 * MIB + 7), "b": b"small", "c": noise(MIB + 1, "c")}
COLLECTION = describe_folder(FILES)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "catalogue.db"


@pytest.fixture
def catalogue(home: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(home)
    yield opened
    opened.close()


def begin(
    catalogue: Catalogue, folder: Path, collection: CollectionDescriptor = COLLECTION
) -> tuple[Begun, Layout, Unfinished]:
    layout = Layout.of(collection)
    know_descriptors(layout, catalogue)
    unfinished = Unfinished.open(folder, "album", layout, kind=Kind.COLLECTION)
    fetch = UnfinishedFetch(
        content_hash=layout.content_hash,
        kind=Kind.COLLECTION,
        name=unfinished.path.name,
        size=layout.size,
        directory=unfinished.path.parent,
    )
    notes = Begun(catalogue, fetch, layout)
    notes.begin()
    return notes, layout, unfinished


def learn(layout: Layout, *paths: str) -> None:
    for number, file in enumerate(layout.files):
        if file.path in paths:
            layout.set_descriptor(number, describe(FILES[file.path]).encode())


def test_after_a_reboot_all_that_is_on_the_disk_counts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue.open(home)
    notes, layout, unfinished = begin(catalogue, tmp_path / "out")
    learn(layout, "a/big", "c")
    for index in range(layout.chunk_count - 1):
        unfinished.store(index, chunk_of(layout, FILES, index))
    notes.keep()
    unfinished.close()  # what comes after is as after a kill: nobody said that it ended
    catalogue.close()

    monkeypatch.setattr("dhtshare.library.resume.boot_tag", lambda: b"another boot 000")
    catalogue = Catalogue.open(home)
    notes, layout, unfinished = begin(catalogue, tmp_path / "out")
    assert list(unfinished.missing()) == [layout.chunk_count - 1]
    assert not any(layout.needs_descriptor(number) for number in range(3))
    unfinished.store(layout.chunk_count - 1, chunk_of(layout, FILES, layout.chunk_count - 1))
    unfinished.finish()
    notes.end()
    unfinished.close()
    catalogue.close()

    catalogue = Catalogue.open(home)
    assert catalogue.fetches() == []
    assert catalogue.descriptor(describe(FILES["c"]).content_hash) is None, "nothing is left behind"
    catalogue.close()


def test_only_what_is_new_is_kept_each_time(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[list[bytes]] = []
    monkeypatch.setattr(catalogue, "remember_descriptors", lambda raws: kept.append(list(raws)))
    catalogue.add([file_item(write(tmp_path / "elsewhere", FILES["a/big"]))])
    notes, layout, unfinished = begin(catalogue, tmp_path / "out")
    notes.keep()
    assert kept == []
    learn(layout, "c")
    notes.keep()
    notes.keep()
    assert kept == [[describe(FILES["c"]).encode()]]
    unfinished.close()


def test_fetches_whose_parts_are_gone_are_forgotten(catalogue: Catalogue, tmp_path: Path) -> None:
    one, two, three = (describe_folder({name: name.encode(), "other": b"x"}) for name in ("one", "two", "three"))
    _, _, kept = begin(catalogue, tmp_path / "out", one)
    kept.store(0, b"one")
    kept.close()
    _, _, beside = begin(catalogue, tmp_path / "out", two)  # of the same name: its bitmap is called another way
    beside.store(1, b"two")
    beside.close()
    begin(catalogue, tmp_path / "elsewhere", three)[2].close()  # nothing was verified: no trace of it stays
    assert len(catalogue.fetches()) == 3
    _, _, last = begin(catalogue, tmp_path / "last")
    hashes = {fetch.content_hash for fetch in catalogue.fetches()}
    assert hashes == {content.content_hash for content in (one, two, COLLECTION)}
    last.close()


def test_the_descriptor_of_a_plain_file_is_not_among_those_learned() -> None:
    assert Layout.of(describe(FILES["c"])).learned() == []
    layout = Layout.of(COLLECTION)
    learn(layout, "c")
    assert layout.learned() == [describe(FILES["c"]).encode()]
    assert layout.learned(1) == []
