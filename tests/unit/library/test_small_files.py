"""Atomic writes, opening without following links, and the few files that are kept open."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from dhtshare.durable import make_folders, write_atomic
from dhtshare.errors import DiskError
from dhtshare.library.boot import BOOT_TAG_BYTES, NO_BOOT, boot_tag
from dhtshare.library.handles import OpenFiles
from dhtshare.nofollow import open_beneath, open_file, real_path


def test_a_secret_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_atomic(tmp_path / "secret", b"s")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    write_atomic(path, b"old")

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError, match="error"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_bytes_are_synced_before_the_name_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(fd: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def noting_replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    write_atomic(tmp_path / "state", b"new")
    assert order == ["file", "rename", "folder"]


def test_the_name_of_each_new_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def noting(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", noting)
    make_folders(tmp_path / "a" / "b", 0o700)
    assert synced == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    make_folders(tmp_path / "a" / "b")
    assert len(synced) == 2, "what is there was synced by whoever made it"


def test_a_file_where_a_folder_belongs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FileExistsError):
            make_folders(path)


def test_a_leftover_temporary_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".state.{os.getpid()}.new").symlink_to(tmp_path / "victim")
    write_atomic(tmp_path / "state", b"new")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("component", ["a", "a/b", "a/b/file"])
def test_a_link_on_any_component_is_refused(tmp_path: Path, component: str) -> None:
    real = tmp_path / "real" / "b"
    real.mkdir(parents=True)
    (real / "file").write_text("secret")
    link = tmp_path / "top" / component
    link.parent.mkdir(parents=True)
    link.symlink_to({"a": tmp_path / "real", "a/b": real, "a/b/file": real / "file"}[component])
    with pytest.raises(OSError):
        open_file(tmp_path / "top" / "a" / "b" / "file")


def test_folders_are_made_on_the_way(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        os.close(open_beneath(root, "x/y/z", os.O_WRONLY | os.O_CREAT, make=True))
    finally:
        os.close(root)
    assert (tmp_path / "x" / "y" / "z").is_file()


def test_a_pipe_that_took_the_name_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        open_file(real_path(tmp_path / "pipe"))


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_opening_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = open_descriptors()
    os.close(open_file(real_path(tmp_path / "file")))
    with pytest.raises(FileNotFoundError):
        open_file(real_path(tmp_path / "none"))
    with pytest.raises(OSError):
        open_file(real_path(tmp_path))
    assert open_descriptors() == before


def test_the_least_recently_used_file_is_closed_and_borrowed_ones_stay(tmp_path: Path) -> None:
    opened: list[str] = []
    files = OpenFiles(limit=2)

    def borrow(name: str) -> int:
        def opener() -> int:
            opened.append(name)
            return os.open(tmp_path / name, os.O_RDWR | os.O_CREAT)

        return files.borrow(name, opener)

    lent = borrow("a")
    for name in ("b", "a", "c", "a", "b"):  # c makes b go, since a was used after it
        os.close(borrow(name))
    assert opened == ["a", "b", "c", "b"]
    assert len(files) == 2
    files.close()
    assert os.write(lent, b"still open") == 10
    os.close(lent)


def test_a_forgotten_file_is_opened_anew(tmp_path: Path) -> None:
    files = OpenFiles()
    path = tmp_path / "f"
    path.write_text("old")
    os.close(files.borrow("f", lambda: os.open(path, os.O_RDONLY)))
    path.unlink()
    path.write_text("new")
    files.forget("f")
    fd = files.borrow("f", lambda: os.open(path, os.O_RDONLY))
    assert os.read(fd, 9) == b"new"
    os.close(fd)
    files.close()


def test_the_boot_tag_stays_the_same_while_the_system_runs() -> None:
    first = boot_tag()
    boot_tag.cache_clear()
    assert boot_tag() == first
    assert len(first) == BOOT_TAG_BYTES
    assert first != NO_BOOT


def test_without_a_free_descriptor_the_kept_files_are_closed_for_one_more(tmp_path: Path) -> None:
    told: list[BaseException] = []
    files = OpenFiles(refused=lambda error: bool(told.append(error)))
    paths = [tmp_path / str(number) for number in range(9)]
    for path in paths:
        path.write_bytes(b"x")
    for path in paths[:8]:
        os.close(files.borrow(path, lambda path=path: os.open(path, os.O_RDONLY)))  # type: ignore[misc]
    refusals = [True]

    def opener() -> int:
        if refusals and refusals.pop():
            raise OSError(errno.EMFILE, "Too many open files")
        return os.open(paths[8], os.O_RDONLY)

    fd = files.borrow(paths[8], opener)
    assert os.read(fd, 1) == b"x"
    os.close(fd)
    assert len(files) == 1
    assert len(told) == 1
    files.close()
