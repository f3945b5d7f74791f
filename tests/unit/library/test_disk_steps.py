"""The single steps of a fetch on the disk: part files, moves, trees, what is whole, who still uses it, what is free."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dhtshare.content.layout import Layout
from dhtshare.errors import DiskError, InterruptedByUserError
from dhtshare.faults import disk_error
from dhtshare.library.in_use import InUse
from dhtshare.library.landing import folders_on_the_way, make_empty, move, move_folder, parts, remove_tree, sync_folders
from dhtshare.library.ledger import Ledger
from dhtshare.library.part_files import PartFiles
from dhtshare.library.rehash import Reader
from dhtshare.library.space import RESERVE_BYTES, check_space
from tests.unit.library.library_fakes import MIB, chunk_of, describe, folder_layout, noise, write

FILES = {"a": b"one chunk", "b/big": noise(2 * MIB), "c/": b"", "x": b""}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def layout() -> Layout:
    return folder_layout(FILES, frozenset({"a"}))


@pytest.fixture
def files(root: int, layout: Layout) -> Iterator[PartFiles]:
    opened = PartFiles(root, layout, ".part", "final", set())
    yield opened
    opened.close()


def test_parts_lie_below_the_part_and_landed_files_below_the_name(files: PartFiles) -> None:
    assert (files.part(1), files.landed(1), files.relative(1)) == (".part/b/big", "final/b/big", ".part/b/big")
    files.has_landed([1])
    assert files.relative(1) == "final/b/big"


def test_a_plain_file_is_its_own_part(root: int) -> None:
    files = PartFiles(root, Layout.of(describe(b"x")), ".part", "final", set())
    assert (files.part(0), files.landed(0)) == (".part", "final")


def test_chunks_land_at_their_offsets(files: PartFiles, layout: Layout, tmp_path: Path) -> None:
    files.write(layout.slot(2), chunk_of(layout, FILES, 2))
    assert (tmp_path / ".part/b/big").read_bytes() == bytes(MIB) + FILES["b/big"][MIB:]
    files.write(layout.slot(1), chunk_of(layout, FILES, 1))
    assert (tmp_path / ".part/b/big").read_bytes() == FILES["b/big"]
    assert files.size(1) == 2 * MIB
    assert files.size(0) is None


def test_a_write_that_takes_less_is_continued(
    files: PartFiles, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, memoryview(data)[:4], offset))
    files.write(layout.slot(0), FILES["a"])
    assert (tmp_path / ".part/a").read_bytes() == FILES["a"]


def test_no_descriptor_is_left_by_a_failed_write(
    files: PartFiles, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = len(list(Path("/dev/fd").iterdir()))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError):
        files.write(layout.slot(0), FILES["a"])
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_one_failed_fsync_among_many_is_not_lost(root: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layout = folder_layout({str(n): b"x" for n in range(20)})
    files = PartFiles(root, layout, "p", "f", set())
    for n in range(20):
        files.write(layout.slot(n), b"x")
    victim = (tmp_path / "p" / "7").stat().st_ino
    real = os.fsync

    def failing(fd: int) -> None:
        if os.fstat(fd).st_ino == victim:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        files.sync(range(20))


def test_a_move_never_replaces_unless_told(root: int, tmp_path: Path) -> None:
    write(tmp_path / "new", b"new")
    write(tmp_path / "deep" / "old", b"old")
    with pytest.raises(FileExistsError):
        move(root, "new", "deep/old", replace=False)
    assert (tmp_path / "deep/old").read_bytes() == b"old"
    move(root, "new", "deep/old", replace=True)
    assert (tmp_path / "deep/old").read_bytes() == b"new"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_hard_links_moves_by_renaming(
    root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refused)
    write(tmp_path / "new", b"new")
    write(tmp_path / "old", b"old")
    with pytest.raises(FileExistsError):
        move(root, "new", "old", replace=False)
    move(root, "new", "made/on/the/way", replace=False)
    assert (tmp_path / "made/on/the/way").read_bytes() == b"new"


def test_a_folder_never_replaces_another(root: int, tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileExistsError):
        move_folder(root, "part", "empty")
    move_folder(root, "part", "free")
    assert (tmp_path / "free").is_dir()


def test_empty_things_are_made_once_and_never_emptied(root: int, tmp_path: Path) -> None:
    write(tmp_path / "full", b"full")
    for name in ("full", "deep/file", "deep/folder/", "deep/folder/"):
        make_empty(root, name, 0o644)
    assert (tmp_path / "full").read_bytes() == b"full"
    assert (tmp_path / "deep/file").read_bytes() == b""
    assert (tmp_path / "deep/folder").is_dir()


def test_removing_a_tree_follows_no_link(root: int, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "precious", b"1")
    tree = tmp_path / "tree"
    write(tree / "a" / "b" / "c", b"2")
    (tree / "link").symlink_to(outside.parent)
    (tree / "a" / "file").symlink_to(outside)
    remove_tree(root, "tree")
    remove_tree(root, "tree")
    assert not tree.exists()
    assert outside.read_bytes() == b"1"
    (tmp_path / "other").symlink_to(outside.parent)
    with pytest.raises(OSError):
        remove_tree(root, "other")


@pytest.mark.parametrize(
    ("path", "folders"),
    [("f", [""]), ("a/f", ["", "a"]), ("a/b/f", ["", "a", "a/b"]), ("a/b/", ["", "a", "a/b"]), ("a/", ["", "a"])],
)
def test_the_folders_whose_names_a_path_adds_to(path: str, folders: list[str]) -> None:
    assert list(folders_on_the_way(path)) == folders
    assert parts(path)[-1] == path.rstrip("/").split("/")[-1]


def test_folders_are_synced_from_the_deepest_up(root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/b", "c"):
        (tmp_path / name).mkdir(parents=True)
    inodes = {path.stat().st_ino: path.relative_to(tmp_path).as_posix() for path in [tmp_path, *tmp_path.rglob("*")]}
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(inodes[os.fstat(fd).st_ino]))
    sync_folders(root, ["", "a", "c", "a/b"])
    assert synced == ["a/b", "a", "c", "."]


def test_a_batch_is_full_by_bytes_or_by_files(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.library.ledger.SYNC_BATCH_BYTES", 2 * MIB)
    ledger = Ledger(layout, range(4))
    assert ledger.chunk_written(0) == set()
    assert ledger.chunk_written(1) == set()
    assert ledger.chunk_written(1) == set(), "again counts once"
    assert ledger.chunk_written(2) == {0, 1}
    ledger.files_synced([0, 1])
    assert ledger.synced == {0, 1}


def test_a_file_that_could_not_be_synced_lacks_all_its_chunks(layout: Layout) -> None:
    ledger = Ledger(layout, range(4))
    for chunk in range(3):
        ledger.chunk_written(chunk)
    ledger.files_lost([1])
    assert list(ledger.missing()) == [1, 2]
    assert ledger.lacking() == 2 * MIB
    ledger.chunk_written(1)
    ledger.chunk_written(2)
    assert ledger.lacking() == 0


def test_chunks_from_many_threads_are_all_counted() -> None:
    layout = folder_layout({f"{n:03}": b"x" for n in range(200)} | {"~": noise(8 * MIB)})
    ledger = Ledger(layout, range(201))
    start = threading.Barrier(8)

    def work(first: int) -> None:
        start.wait()
        for chunk in range(first, layout.chunk_count, 8):
            ledger.chunk_written(chunk)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.have) == layout.chunk_count == 208
    assert ledger.lacking() == 0
    assert len(ledger._unsynced) == 201


def test_the_last_to_leave_releases() -> None:
    released: list[bool] = []
    users = InUse("it", lambda: released.append(True))
    with users:
        assert users.close()
        assert not users.close()
        users.leave()
        assert released == []
        with pytest.raises(DiskError, match="ended"), users:
            pytest.fail("nobody gets in any more")
        assert released == []
    assert released == [True]


def test_what_would_not_leave_the_reserve_is_refused(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    free = RESERVE_BYTES + 5000
    status = SimpleNamespace(f_bavail=free // 1000, f_frsize=1000)
    monkeypatch.setattr(os, "fstatvfs", lambda fd: status)
    check_space(root, 5000, "it")
    with pytest.raises(DiskError, match="Too little space for it"):
        check_space(root, 5001, "it")
    status.f_bavail = 1
    check_space(root, 0, "it")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "Choose a folder"),
        (errno.EIO, "check it"),
        (errno.ELOOP, "symbolic link"),
        (errno.EMFILE, "ulimit"),
        (errno.EBADF, "Bad file descriptor"),
    ],
)
def test_a_disk_error_says_what_why_and_what_next(code: int, advice: str) -> None:
    error = disk_error("write", Path("/x"), OSError(code, os.strerror(code)))
    assert str(error).startswith("Cannot write /x: ")
    assert advice in str(error)
    assert error.exit_code == 7


def test_an_error_without_a_number_still_says_something() -> None:
    assert "odd" in str(disk_error("read", "f", OSError("odd")))


def test_reading_stops_at_the_end_and_when_told(root: int, tmp_path: Path) -> None:
    fd = os.open(write(tmp_path / "f", b"12345"), os.O_RDONLY)
    told: list[int] = []
    reader = Reader(told.append)
    assert bytes(reader.read(fd, 1, 3) or b"") == b"234"
    assert reader.read(fd, 3, 3) is None
    assert told == [3]
    with pytest.raises(InterruptedByUserError):
        Reader(cancelled=lambda: True).read(fd, 0, 1)
    os.close(fd)


def test_a_file_is_described_as_it_was_published(tmp_path: Path) -> None:
    data = noise(2 * MIB + 1)
    fd = os.open(write(tmp_path / "f", data), os.O_RDONLY)
    assert Reader().describe(fd, len(data)) == describe(data)
    assert Reader().describe(fd, len(data) + MIB) is None
    os.close(fd)
