from __future__ import annotations

import errno
import os
import socket
import unicodedata
from pathlib import Path

import pytest

from dhtshare.content import folder
from dhtshare.content.folder import scan_folder
from dhtshare.content.paths import MAX_PATH_PARTS
from dhtshare.errors import DhtshareError, DiskError, UsageError


def make(root: Path, *paths: str) -> None:
    """Files that hold their own path, and for a path ending in '/' a folder."""
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            target.mkdir(exist_ok=True)
        else:
            target.write_text(path)


def test_what_is_in_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "b.txt", "a/z", "a/b/c", "a-b", "é", "a/.hidden", "empty/", "x/y/hollow/")
    (tmp_path / "a-b").chmod(0o755)
    scan = scan_folder(tmp_path)
    assert [file.path for file in scan.files] == ["a-b", "a/.hidden", "a/b/c", "a/z", "b.txt", "é"]
    assert scan.empty_folders == ["empty/", "x/y/hollow/"]
    assert [file.executable for file in scan.files] == [True, False, False, False, False, False]
    assert scan.size == sum(len(file.path.encode()) for file in scan.files)
    assert all(Path(file.local).stat().st_mtime_ns == file.mtime_ns for file in scan.files)
    assert (scan.symlinks, scan.special, scan.unfinished, scan.renamed) == (0, 0, 0, 0)
    assert scan.root == tmp_path


def test_links_and_special_files_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "real", "outside/secret", "shared/file")
    shared = tmp_path / "shared"
    (shared / "to-file").symlink_to("../real")
    (shared / "to-folder").symlink_to("../outside")
    (shared / "to-itself").symlink_to(".")
    (shared / "dangling").symlink_to("nowhere")
    os.mkfifo(shared / "pipe")
    monkeypatch.chdir(shared)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        scan = scan_folder(shared)
    assert [file.path for file in scan.files] == ["file"]
    assert (scan.symlinks, scan.special) == (4, 2)


def test_a_folder_of_which_all_is_left_out_is_an_empty_one(tmp_path: Path) -> None:
    make(tmp_path, "a", "links/")
    (tmp_path / "links" / "x").symlink_to("../a")
    assert scan_folder(tmp_path).empty_folders == ["links/"]


def test_unfinished_downloads_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "done", ".song.mp3.dhtshare-part", ".album.dhtshare-part/one")
    scan = scan_folder(tmp_path)
    assert [file.path for file in scan.files] == ["done"]
    assert scan.unfinished == 2


def test_unsafe_names_are_published_under_safe_ones(tmp_path: Path) -> None:
    make(tmp_path, "12:30.txt", "what?/why*", "ok")
    scan = scan_folder(tmp_path)
    assert [file.path for file in scan.files] == ["12_30.txt", "ok", "what_/why_"]
    assert scan.renamed == 3
    assert Path(scan.files[0].local).name == "12:30.txt"


def test_decomposed_names_are_no_new_names(tmp_path: Path) -> None:
    make(tmp_path, unicodedata.normalize("NFD", "Música"))
    scan = scan_folder(tmp_path)
    assert [file.path for file in scan.files] == ["Música"]
    assert scan.renamed == 0


def test_nothing_to_share(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to share"):
        scan_folder(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="only links"):
        scan_folder(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    make(tmp_path, "file")
    for path in ("missing", "file"):
        with pytest.raises(UsageError, match="no folder"):
            scan_folder(tmp_path / path)


def test_too_many_entries_advise_sub_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a", "b", "c/")
    monkeypatch.setattr(folder, "MAX_COLLECTION_ENTRIES", 3)
    assert len(scan_folder(tmp_path).files) == 2
    make(tmp_path, "d")
    with pytest.raises(UsageError, match="sub-folders"):
        scan_folder(tmp_path)


def test_too_deep(tmp_path: Path) -> None:
    make(tmp_path, "/".join("d" * (MAX_PATH_PARTS - 1)) + "/file")
    assert len(scan_folder(tmp_path).files) == 1
    make(tmp_path, "/".join("d" * MAX_PATH_PARTS) + "/file")
    with pytest.raises(UsageError, match="folders deep"):
        scan_folder(tmp_path)


def test_a_file_that_vanishes_between_two_looks_was_never_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "stays", "goes")
    status = folder._status_of
    monkeypatch.setattr(folder, "_status_of", lambda entry: None if entry.name == "goes" else status(entry))
    assert [file.path for file in scan_folder(tmp_path).files] == ["stays"]


def test_an_unreadable_sub_folder_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a", "closed/b")
    opening = folder.open_folder

    def refusing(root: int, names: tuple[str, ...]) -> int:
        if names == ("closed",):  # nothing is unreadable for root, who may run the tests
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opening(root, names)

    monkeypatch.setattr(folder, "open_folder", refusing)
    with pytest.raises(DiskError, match=r"closed: Permission denied\. Check"):
        scan_folder(tmp_path)


def test_a_sub_folder_that_becomes_a_link_between_two_looks_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "shared/a", "shared/sub/b", "elsewhere/secret")
    opening = folder.open_folder

    def swapping(root: int, names: tuple[str, ...]) -> int:
        if names == ("sub",):
            (tmp_path / "shared" / "sub").rename(tmp_path / "gone")
            (tmp_path / "shared" / "sub").symlink_to("../elsewhere")
        return opening(root, names)

    monkeypatch.setattr(folder, "open_folder", swapping)
    with pytest.raises(DhtshareError, match="sub"):
        scan_folder(tmp_path / "shared")
