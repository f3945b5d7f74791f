"""How what is whole gets its final name: bytes on the disk first, then the name, then the folder that holds it.

After a crash at any instant a final name exists only for bytes that were fsynced, whatever the file system
reorders. Raises OSError throughout; the owner of the unfinished files says what that means.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable

from dhtshare.nofollow import open_beneath, open_folder, walk

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def sync_file(root: int, relative: str) -> None:
    """Puts the bytes of one file on the disk."""
    fd = open_beneath(root, relative, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folders(root: int, relatives: Iterable[str]) -> None:
    """Puts the names inside these folders on the disk, the deepest first; '' is `root` itself."""
    for relative in sorted(relatives, key=lambda path: path.count("/") + bool(path), reverse=True):
        fd = open_folder(root, parts(relative))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def move(root: int, source: str, target: str, *, replace: bool) -> None:
    """Gives a file its final name, below `root` both, making the folders on the way.

    Without `replace` a file that has the name meanwhile stays, and FileExistsError is raised: a rename would
    silently put ours in its place, a hard link does not.
    """
    *source_folders, source_name = source.split("/")
    *target_folders, target_name = target.split("/")
    with walk(root, tuple(source_folders)) as old, walk(root, tuple(target_folders), make=True) as new:
        if not replace:
            try:
                os.link(source_name, target_name, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _refuse_existing(new, target_name)
            else:
                os.unlink(source_name, dir_fd=old)
                return
        os.rename(source_name, target_name, src_dir_fd=old, dst_dir_fd=new)


def move_folder(root: int, source: str, target: str) -> None:
    """Gives a whole folder its final name; a folder with something in it is never replaced (ENOTEMPTY)."""
    _refuse_existing(root, target)
    os.rename(source, target, src_dir_fd=root, dst_dir_fd=root)


def make_empty(root: int, relative: str, mode: int) -> None:
    """Makes an empty file, or where the path ends in '/' an empty folder, unless it is there."""
    if relative.endswith("/"):
        with walk(root, parts(relative), make=True):
            return
    with contextlib.suppress(FileExistsError):
        os.close(open_beneath(root, relative, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, make=True))


def remove_file(root: int, name: str) -> None:
    """Removes a file of ours; nothing to do when it is not there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=root)


def remove_tree(root: int, name: str) -> None:
    """Removes a folder of ours with all in it, never following a link; nothing to do when it is not there."""
    try:
        folder = open_folder(root, (name,))
    except FileNotFoundError:
        return
    try:
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for entry, is_folder in listed:
            if is_folder:
                remove_tree(folder, entry)
            else:
                os.unlink(entry, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=root)


def parts(relative: str) -> tuple[str, ...]:
    """The folder names of 'a/b/', 'a/b' or ''."""
    return tuple(part for part in relative.split("/") if part)


def folders_on_the_way(relative: str) -> Iterable[str]:
    """The folders to which making this path may have added a name: '', 'a', 'a/b' for 'a/b/c'."""
    names = parts(relative)
    if not relative.endswith("/"):
        names = names[:-1]
    return ["/".join(names[:depth]) for depth in range(len(names) + 1)]


def _refuse_existing(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
