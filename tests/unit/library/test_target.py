"""Where a fetch lands: looked at, compared by hash, decided or refused, and never changed by looking."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.content.layout import Layout
from dhtshare.errors import UsageError
from dhtshare.library.records import Kind
from dhtshare.library.rehash import Reader
from dhtshare.library.target import IfExists, Target, choose
from tests.unit.library.library_fakes import MIB, describe, describe_folder, folder_layout, noise, write

DATA = noise(MIB + 1)
FILE = Layout.of(describe(DATA))
FILES = {"a": b"1", "b/big": DATA, "c/": b"", "d": b""}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def file_target(root: int, exists: IfExists = IfExists.REFUSE, name: str = "f.bin") -> Target:
    return choose(root, name, FILE, Kind.FILE, [0], exists, Reader())


def folder_target(root: int, exists: IfExists = IfExists.REFUSE, files: tuple[int, ...] = (0, 1, 2, 3)) -> Target:
    return choose(root, "album", folder_layout(FILES), Kind.COLLECTION, files, exists, Reader())


def test_nothing_there_is_the_usual_case(root: int) -> None:
    assert file_target(root) == Target("f.bin", absent=True)
    assert folder_target(root) == Target("album", absent=True)


def test_the_right_bytes_are_whole(root: int, tmp_path: Path) -> None:
    write(tmp_path / "f.bin", DATA)
    assert file_target(root) == Target("f.bin", absent=False, whole={0})


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 2])
def test_other_sizes_are_seen_without_reading(root: int, tmp_path: Path, size: int) -> None:
    write(tmp_path / "f.bin", noise(size))
    read: list[int] = []
    target = choose(root, "f.bin", FILE, Kind.FILE, [0], IfExists.OVERWRITE, Reader(read.append))
    assert (target.different, target.in_the_way, read) == ({0}, "f.bin", [])


def test_comparing_stops_at_the_first_wrong_chunk(root: int, tmp_path: Path) -> None:
    write(tmp_path / "f.bin", b"?" + DATA[1:])
    read: list[int] = []
    choose(root, "f.bin", FILE, Kind.FILE, [0], IfExists.OVERWRITE, Reader(read.append))
    assert read == [MIB]


def test_a_collection_says_of_each_file_how_it_stands(root: int, tmp_path: Path) -> None:
    write(tmp_path / "album" / "a", b"?")
    write(tmp_path / "album" / "b" / "big", DATA)
    (tmp_path / "album" / "c").mkdir()
    target = folder_target(root, IfExists.OVERWRITE)
    assert target == Target("album", absent=False, whole={1, 2}, different={0}, in_the_way="album/a")


def test_only_wanted_files_matter(root: int, tmp_path: Path) -> None:
    write(tmp_path / "album" / "a", b"?")
    assert folder_target(root, files=(1, 2)).in_the_way is None


def test_a_whole_member_teaches_its_descriptor(root: int, tmp_path: Path) -> None:
    write(tmp_path / "album" / "b" / "big", DATA)
    layout = Layout.of(describe_folder(FILES))
    assert layout.needs_descriptor(1)
    choose(root, "album", layout, Kind.COLLECTION, range(4), IfExists.REFUSE, Reader())
    assert not layout.needs_descriptor(1)


def test_a_wrong_member_teaches_nothing(root: int, tmp_path: Path) -> None:
    write(tmp_path / "album" / "b" / "big", noise(MIB + 1, "wrong"))
    layout = Layout.of(describe_folder(FILES))
    target = choose(root, "album", layout, Kind.COLLECTION, range(4), IfExists.OVERWRITE, Reader())
    assert target.different == {1}
    assert layout.needs_descriptor(1)


def test_a_file_where_an_empty_folder_belongs(root: int, tmp_path: Path) -> None:
    write(tmp_path / "album" / "c", b"a file")
    with pytest.raises(UsageError, match="album/c/ exists already"):
        folder_target(root)


def test_a_folder_where_a_file_belongs(root: int, tmp_path: Path) -> None:
    (tmp_path / "album" / "a").mkdir(parents=True)
    with pytest.raises(UsageError, match="album/a exists already"):
        folder_target(root)


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "dangling"])
def test_whatever_is_no_file_is_in_the_way(
    root: int, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.bin"
    if kind == "link":
        path.symlink_to(write(tmp_path / "same", DATA))
    elif kind == "dangling":
        path.symlink_to(tmp_path / "none")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("f.bin")
    with pytest.raises(UsageError, match="exists already"):
        file_target(root)
    assert file_target(root, IfExists.RENAME).name == "f (1).bin"


def test_the_kinds_cannot_replace_each_other(root: int, tmp_path: Path) -> None:
    (tmp_path / "f.bin").mkdir()
    write(tmp_path / "album", b"a file")
    with pytest.raises(UsageError, match="is a folder and would have to become a file"):
        file_target(root, IfExists.OVERWRITE)
    with pytest.raises(UsageError, match="is a file and would have to become a folder"):
        folder_target(root, IfExists.OVERWRITE)


@pytest.mark.parametrize(
    ("name", "renamed"),
    [("f.bin", "f (1).bin"), ("f", "f (1)"), (".hidden", ".hidden (1)"), ("a.tar.gz", "a.tar (1).gz")],
)
def test_the_number_goes_before_the_extension(root: int, tmp_path: Path, name: str, renamed: str) -> None:
    write(tmp_path / name, b"other")
    assert file_target(root, IfExists.RENAME, name).name == renamed


def test_a_folder_gets_its_number_at_the_end(root: int, tmp_path: Path) -> None:
    write(tmp_path / "album.2019" / "a", b"other")
    layout = folder_layout(FILES)
    target = choose(root, "album.2019", layout, Kind.COLLECTION, range(4), IfExists.RENAME, Reader())
    assert target.name == "album.2019 (1)"


def test_numbers_run_out(root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.library.target._LAST_NUMBER", 2)
    for name in ("f.bin", "f (1).bin"):
        write(tmp_path / name, b"other")
    with pytest.raises(UsageError, match="exist already"):
        file_target(root, IfExists.RENAME)


def test_an_unreadable_disk_is_not_taken_for_other_content(
    root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "f.bin", DATA)

    def fail(fd: int, buffers: object, offset: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(OSError, match="Input/output"):
        file_target(root, IfExists.OVERWRITE)
