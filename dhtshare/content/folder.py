"""What is in a folder that is to be a collection, and under which safe path each file goes.

Symbolic links and special files are never followed or opened, only counted.
"""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dhtshare.content.collection import MAX_COLLECTION_ENTRIES
from dhtshare.content.paths import MAX_PATH_PARTS, is_unfinished, safe_name
from dhtshare.errors import UsageError
from dhtshare.faults import disk_error
from dhtshare.nofollow import open_folder


class ScannedFile(NamedTuple):
    """A regular file found: its path in the collection, where it lies on this disk, its state when seen."""

    path: str
    local: str
    size: int
    mtime_ns: int
    executable: bool


@dataclass
class FolderScan:
    """What is in a folder. `files` and `empty_folders` (paths that end in '/') are sorted by their UTF-8 bytes."""

    root: Path
    files: list[ScannedFile] = field(default_factory=list)
    empty_folders: list[str] = field(default_factory=list)
    symlinks: int = 0
    special: int = 0
    """Sockets, pipes and devices left out."""
    unfinished: int = 0
    """Our own unfinished downloads left out."""
    renamed: int = 0
    """Names that had to be made safe; local files keep theirs."""

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def scan_folder(path: str | os.PathLike[str]) -> FolderScan:
    """Everything below the folder `path`. Reads no file.

    Raises UsageError where there is no folder, where nothing in it can be shared, and over the limits of a
    collection; DiskError where a folder cannot be read.
    """
    scan = FolderScan(Path(path))
    with _root(os.fspath(path)) as root:
        pending = [_Folder(os.fspath(path), "", ())]
        while pending:
            folder = pending.pop()
            subfolders, files = _look_into(root, folder, scan)
            if folder.path and not subfolders and not files:
                scan.empty_folders.append(folder.path)
            scan.files += files
            pending += subfolders
            _check_limits(folder, bool(files), scan)
    if not scan.files and not scan.empty_folders:
        raise UsageError(f"There is nothing to share in {path}: it is empty, or has only links and special files.")
    scan.files.sort(key=lambda file: file.path.encode())
    scan.empty_folders.sort(key=str.encode)
    return scan


class _Folder(NamedTuple):
    """A folder to look into: where it lies, its path in the collection ('', or ending in '/'), its names here.

    The names lead to it from the root, one folder after the other.
    """

    local: str
    path: str
    names: tuple[str, ...]


@contextlib.contextmanager
def _root(path: str) -> Iterator[int]:
    """The folder that the user named, by whatever links; below it none is followed."""
    with _told(path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _look_into(root: int, folder: _Folder, scan: FolderScan) -> tuple[list[_Folder], list[ScannedFile]]:
    subfolders: list[_Folder] = []
    files: list[ScannedFile] = []
    for entry, status in _list(root, folder):
        path, local = folder.path + safe_name(entry.name), os.path.join(folder.local, entry.name)  # noqa: PTH118 - quicker
        if stat.S_ISLNK(status.st_mode):
            scan.symlinks += 1
            continue
        if is_unfinished(entry.name):
            scan.unfinished += 1
            continue
        if stat.S_ISDIR(status.st_mode):
            subfolders.append(_Folder(local, path + "/", (*folder.names, entry.name)))
        elif stat.S_ISREG(status.st_mode):
            executable = bool(status.st_mode & stat.S_IXUSR)
            files.append(ScannedFile(path, local, status.st_size, status.st_mtime_ns, executable))
        else:
            scan.special += 1
            continue
        # Another normal form of the same name (macOS) is no new name.
        scan.renamed += path != folder.path + unicodedata.normalize("NFC", entry.name)
    return subfolders, files


def _list(root: int, folder: _Folder) -> list[tuple[os.DirEntry[str], os.stat_result]]:
    with _told(folder.local):
        fd = open_folder(root, folder.names)
        try:
            with os.scandir(fd) as entries:
                return [(entry, status) for entry in entries if (status := _status_of(entry)) is not None]
        finally:
            os.close(fd)


@contextlib.contextmanager
def _told(local: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"There is no folder {local}. Check the path.") from error
    except OSError as error:
        raise disk_error("read the folder", local, error) from error


def _status_of(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None where it is gone already."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _check_limits(folder: _Folder, has_files: bool, scan: FolderScan) -> None:
    if folder.path.count("/") + has_files > MAX_PATH_PARTS:
        raise UsageError(f"{folder.local} is over {MAX_PATH_PARTS} folders deep. Publish its sub-folders one by one.")
    if len(scan.files) + len(scan.empty_folders) > MAX_COLLECTION_ENTRIES:
        raise UsageError(
            f"{scan.root} has more than {MAX_COLLECTION_ENTRIES} files, the limit of a collection. "
            "Publish its sub-folders one by one."
        )
