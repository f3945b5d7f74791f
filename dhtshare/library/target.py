"""What stands where a fetch is to land, and what the finished content will be called.

Never changes anything on the disk: it looks, compares by hash, and decides or refuses.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from dhtshare.content.layout import Layout
from dhtshare.content.paths import MAX_NAME_BYTES
from dhtshare.errors import UsageError
from dhtshare.library.landing import parts
from dhtshare.library.records import Kind
from dhtshare.library.rehash import Reader
from dhtshare.nofollow import open_beneath, walk

_LAST_NUMBER = 999

#: A link, a folder, a pipe or a socket has the name, or the name of a folder on the way.
_SOMETHING_ELSE = (errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO)


class IfExists(enum.StrEnum):
    """What to do when something with other bytes stands at the target."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    RENAME = "rename"


@dataclass(slots=True)
class Target:
    """A name below the output folder, and what of the content stands there already.

    `whole` are file numbers whose bytes stand there already, `different` those whose path has other bytes, and
    `in_the_way` the first path that is not what is wanted.
    """

    name: str
    absent: bool
    whole: set[int] = field(default_factory=set)
    different: set[int] = field(default_factory=set)
    in_the_way: str | None = None


def choose(
    root: int, name: str, layout: Layout, kind: Kind, files: Iterable[int], exists: IfExists, reader: Reader
) -> Target:
    """Where a content lands in the folder `root`. Raises UsageError when it may not land there, OSError.

    `files` are the wanted file numbers; existing ones are hashed and, where right, kept as they are.
    """
    files = list(files)
    for number in range(_LAST_NUMBER):
        candidate = name if number == 0 else _numbered(name, number, kind)
        target = _look(root, candidate, layout, kind, files, exists, reader)
        if target.in_the_way is None or exists is IfExists.OVERWRITE:
            return target
        if exists is IfExists.REFUSE:
            raise UsageError(
                f"{target.in_the_way} exists already with other content; it was not touched. "
                "Use --overwrite to replace it, --rename to choose another name, or -o for another folder."
            )
    raise UsageError(f"{name} and {_LAST_NUMBER} numbered names exist already. Name another folder with -o.")


def _look(
    root: int, name: str, layout: Layout, kind: Kind, files: list[int], exists: IfExists, reader: Reader
) -> Target:
    try:
        status = os.stat(name, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return Target(name, absent=True)
    target = Target(name, absent=False)
    is_folder = stat.S_ISDIR(status.st_mode)
    if is_folder != (kind is Kind.COLLECTION):
        if exists is IfExists.OVERWRITE and (is_folder or kind is Kind.COLLECTION):
            this, that = ("folder", "file") if is_folder else ("file", "folder")
            raise UsageError(f"{name} is a {this} and would have to become a {that}. Remove it, or use --rename.")
        target.in_the_way = name
        return target
    for number in files:
        slot = layout.files[number]
        path = f"{name}/{slot.path}" if slot.path else name
        right = _is_folder(root, path) if slot.is_folder else _compare(root, path, layout, number, reader)
        if right:
            target.whole.add(number)
        elif right is False:
            target.different.add(number)
            target.in_the_way = target.in_the_way or path
            if exists is not IfExists.OVERWRITE:
                break
    return target


def _compare(root: int, path: str, layout: Layout, number: int, reader: Reader) -> bool | None:
    """Whether the file at `path` is the wanted one; None where there is nothing."""
    try:
        fd = open_beneath(root, path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _SOMETHING_ELSE:
            return False
        raise
    try:
        return reader.holds(fd, layout, number)
    finally:
        os.close(fd)


def _is_folder(root: int, path: str) -> bool | None:
    """Whether there is a folder at `path`; None where there is nothing."""
    try:
        with walk(root, parts(path)):
            return True
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _SOMETHING_ELSE:
            return False
        raise


def _numbered(name: str, number: int, kind: Kind) -> str:
    """'film (2).mkv': the number before the extension, the stem cut where the name would grow too long."""
    mark = f" ({number})"
    stem, dot, extension = name.rpartition(".")
    tail = f"{mark}{dot}{extension}" if stem and kind is Kind.FILE else mark
    if tail == mark:
        stem = name
    return stem.encode()[: MAX_NAME_BYTES - len(tail.encode())].decode(errors="ignore").rstrip(" .") + tail
