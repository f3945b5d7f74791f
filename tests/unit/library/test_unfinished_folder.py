"""A collection on its way to the disk: whole as one rename, or merged file by file into what is there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dhtshare.content.layout import Layout
from dhtshare.errors import DiskError, UsageError
from dhtshare.library.records import Kind
from dhtshare.library.unfinished import IfExists, Unfinished
from tests.unit.library.library_fakes import MIB, chunk_of, describe_folder, folder_layout, noise, write

FILES = {
    "README": b"read me",
    "big.bin": noise(MIB + 3),
    "bin/run": b"#!/bin/sh\n",
    "empty": b"",
    "hollow/": b"",
    "music/one.mp3": noise(1000, "1"),
    "music/two.mp3": noise(2000, "2"),
}
EXECUTABLE = frozenset({"bin/run"})


@pytest.fixture
def layout() -> Layout:
    return folder_layout(FILES, EXECUTABLE)


def begin(directory: Path, layout: Layout, only: list[str] | None = None, **options: object) -> Unfinished:
    files = None if only is None else frozenset(layout.select(only))
    return Unfinished.open(directory, "album", layout, kind=Kind.COLLECTION, files=files, **options)  # type: ignore[arg-type]


def fill(fetch: Unfinished) -> None:
    for index in list(fetch.missing()):
        fetch.store(index, chunk_of(fetch.layout, FILES, index))


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder, and every empty folder with a '/' behind it."""
    found: dict[str, bytes] = {}
    for path in root.rglob("*"):
        relative = path.relative_to(root).as_posix()
        if path.is_file():
            found[relative] = path.read_bytes()
        elif not any(path.iterdir()):
            found[relative + "/"] = b""
    return found


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_a_whole_collection_appears_at_once(tmp_path: Path, layout: Layout) -> None:
    fetch = begin(tmp_path, layout)
    fill(fetch)
    assert all(name.startswith(".") for name in names(tmp_path))
    assert fetch.finish() == tmp_path / "album"
    fetch.close()
    assert names(tmp_path) == ["album"]
    assert tree(tmp_path / "album") == FILES
    assert [layout.files[number].path for number, _ in fetch.finished_places()] == sorted(FILES.keys() - {"hollow/"})


def test_the_executable_bit_is_kept_within_the_umask(tmp_path: Path, layout: Layout) -> None:
    old = os.umask(0o027)
    try:
        fetch = begin(tmp_path, layout)
        fill(fetch)
        fetch.finish()
        fetch.close()
    finally:
        os.umask(old)
    modes = {name: stat.S_IMODE((tmp_path / "album" / name).stat().st_mode) for name in ("README", "bin/run", "empty")}
    assert modes == {"README": 0o640, "bin/run": 0o750, "empty": 0o640}


def test_a_collection_of_nothing_but_folders(tmp_path: Path) -> None:
    layout = folder_layout({"a/b/": b"", "c/": b""})
    fetch = Unfinished.open(tmp_path, "hollow", layout, kind=Kind.COLLECTION)
    assert fetch.complete
    fetch.finish()
    fetch.close()
    assert tree(tmp_path / "hollow") == {"a/b/": b"", "c/": b""}
    assert names(tmp_path) == ["hollow"]


def test_a_later_run_goes_on_where_this_one_stopped(tmp_path: Path, layout: Layout) -> None:
    first = begin(tmp_path, layout)
    for index in (0, 2):
        first.store(index, chunk_of(layout, FILES, index))
    first.close()
    second = begin(tmp_path, folder_layout(FILES, EXECUTABLE))
    assert [index for index in range(layout.chunk_count) if index in second.have] == [0, 2]
    fill(second)
    second.finish()
    second.close()
    assert tree(tmp_path / "album") == FILES


def test_under_the_same_boot_claims_need_no_descriptors(tmp_path: Path, layout: Layout) -> None:
    first = begin(tmp_path, layout)
    fill(first)
    first.close()
    second = begin(tmp_path, Layout.of(describe_folder(FILES, EXECUTABLE)))
    assert second.complete
    second.close()


def test_after_a_reboot_what_cannot_be_hashed_is_fetched_again(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin(tmp_path, layout)
    fill(first)
    first.close()
    monkeypatch.setattr("dhtshare.library.resume.boot_tag", lambda: b"another boot 000")
    second = begin(tmp_path, Layout.of(describe_folder(FILES, EXECUTABLE)))
    big = next(number for number, slot in enumerate(layout.files) if slot.path == "big.bin")
    assert list(second.missing()) == list(layout.chunks_of_file(big))
    second.close()


def test_only_some_files_land_in_a_folder_of_the_name(tmp_path: Path, layout: Layout) -> None:
    fetch = begin(tmp_path, layout, ["music"])
    fill(fetch)
    fetch.finish()
    fetch.close()
    assert tree(tmp_path / "album") == {name: FILES[name] for name in ("music/one.mp3", "music/two.mp3")}
    assert names(tmp_path) == ["album"]


def test_more_files_merge_into_the_folder_that_is_there(tmp_path: Path, layout: Layout) -> None:
    for only in (["music/one.mp3"], ["music/*", "empty"], ["hollow"], None):
        fetch = begin(tmp_path, layout, only)
        fill(fetch)
        fetch.finish()
        fetch.close()
    assert tree(tmp_path / "album") == FILES
    assert names(tmp_path) == ["album"]


def test_files_that_are_there_count_as_reused(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path / "album" / "big.bin", FILES["big.bin"])
    write(tmp_path / "album" / "mine.txt", b"not of the collection")
    fetch = begin(tmp_path, Layout.of(describe_folder(FILES, EXECUTABLE)))  # big.bin's descriptor is not known
    assert fetch.reused == MIB + 3
    fill(fetch)
    fetch.finish()
    fetch.close()
    assert tree(tmp_path / "album") == FILES | {"mine.txt": b"not of the collection"}


def test_a_complete_folder_is_all_there_is_to_do(tmp_path: Path, layout: Layout) -> None:
    fetch = begin(tmp_path, layout)
    fill(fetch)
    fetch.finish()
    fetch.close()
    again = begin(tmp_path, layout)
    assert again.complete
    assert again.reused == sum(map(len, FILES.values()))
    assert names(tmp_path) == ["album"]
    assert again.finish() == tmp_path / "album"
    again.close()


def test_one_file_with_other_bytes_refuses_the_whole(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path / "album" / "music" / "two.mp3", b"mine")
    with pytest.raises(UsageError, match=r"album/music/two\.mp3 exists already"):
        begin(tmp_path, layout)
    assert tree(tmp_path / "album") == {"music/two.mp3": b"mine"}
    fetch = begin(tmp_path, layout, ["music/one.mp3"])  # unless it is not asked for
    fill(fetch)
    fetch.finish()
    fetch.close()


def test_overwrite_replaces_files_that_differ(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path / "album" / "big.bin", FILES["big.bin"][:MIB] + b"???")
    write(tmp_path / "album" / "empty", b"not empty")
    fetch = begin(tmp_path, layout, exists=IfExists.OVERWRITE)
    assert fetch.reused == MIB
    fill(fetch)
    fetch.finish()
    fetch.close()
    assert tree(tmp_path / "album") == FILES


def test_rename_makes_another_folder(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path / "album" / "README", b"mine")
    fetch = begin(tmp_path, layout, exists=IfExists.RENAME)
    fill(fetch)
    assert fetch.finish() == tmp_path / "album (1)"
    fetch.close()
    assert tree(tmp_path / "album (1)") == FILES
    assert tree(tmp_path / "album") == {"README": b"mine"}


def test_a_file_in_place_of_the_folder(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path / "album", b"a file")
    for exists in (IfExists.REFUSE, IfExists.OVERWRITE):
        with pytest.raises(UsageError):
            begin(tmp_path, layout, exists=exists)
    assert (tmp_path / "album").read_bytes() == b"a file"


def test_chunks_of_an_earlier_wider_wish_are_kept(tmp_path: Path, layout: Layout) -> None:
    first = begin(tmp_path, layout)
    first.store(1, chunk_of(layout, FILES, 1))  # half of big.bin
    first.close()
    second = begin(tmp_path, layout, ["music"])
    fill(second)
    second.finish()
    second.close()
    third = begin(tmp_path, layout)
    assert third.resumed == MIB
    fill(third)
    third.finish()
    third.close()
    assert tree(tmp_path / "album") == FILES
    assert names(tmp_path) == ["album"]


def test_junk_in_a_part_folder_without_claims_does_not_land(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path / ".album.dhtshare-part" / "junk", b"?")
    fetch = begin(tmp_path, layout)
    fill(fetch)
    fetch.finish()
    fetch.close()
    assert tree(tmp_path / "album") == FILES


@pytest.mark.parametrize("planted", ["music", "music/one.mp3"])
def test_a_link_planted_in_the_part_is_not_followed(tmp_path: Path, layout: Layout, planted: str) -> None:
    outside = tmp_path / "outside"
    write(outside / "one.mp3", b"precious")
    fetch = begin(tmp_path / "out", layout)
    fetch.store(0, chunk_of(layout, FILES, 0))
    link = fetch.part / planted
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside if planted == "music" else outside / "one.mp3")
    with pytest.raises(DiskError, match="symbolic link"):
        fill(fetch)
    fetch.close()
    assert tree(outside) == {"one.mp3": b"precious"}


def test_a_link_planted_in_the_target_is_not_followed(tmp_path: Path, layout: Layout) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out" / "album").mkdir(parents=True)
    (tmp_path / "out" / "album" / "music").symlink_to(outside)
    with pytest.raises(UsageError):
        begin(tmp_path / "out", layout)
    with pytest.raises(DiskError, match="symbolic link"):
        fetch = begin(tmp_path / "out", layout, exists=IfExists.OVERWRITE)
        try:
            fill(fetch)
            fetch.finish()
        finally:
            fetch.close()
    assert tree(outside) == {}


def test_a_path_too_deep_for_the_disk_is_a_disk_error(tmp_path: Path) -> None:
    files = {"/".join(["x" * 250] * 8) + "/f": b"1"}
    layout = folder_layout(files)
    deep = tmp_path / "/".join(["d" * 200] * 9)
    fetch = Unfinished.open(deep, "album", layout, kind=Kind.COLLECTION)
    fetch.store(0, b"1")  # opened folder by folder, so PATH_MAX does not matter
    fetch.finish()
    fetch.close()
    walked = deep / "album"
    assert walked.is_dir()


def test_whole_files_are_fsynced_in_batches_on_the_way(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dhtshare.library.ledger.SYNC_BATCH_FILES", 2)
    synced: list[int] = []
    real = os.fsync

    def noting(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fsync", noting)
    fetch = begin(tmp_path, layout)
    for index in range(layout.chunk_count):
        fetch.store(index, chunk_of(layout, FILES, index))
    on_the_way = sorted(synced)
    assert on_the_way == sorted(len(FILES[name]) for name in ("README", "big.bin", "bin/run", "music/one.mp3"))
    fetch.finish()
    for name in ("music/two.mp3", "empty"):
        assert len(FILES[name]) in synced
    fetch.close()
