"""Names from strangers: made safe, or refused. The one place where that is decided.

A part (one name between two '/') is safe exactly when `safe_name` leaves it as it is. So what a publisher's
scan made safe is what every fetcher accepts, on Linux, macOS and Windows alike. Never touches a disk:
symbolic links on the way are the business of whoever opens files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice, takewhile

from blake3 import blake3

from dhtshare.errors import MalformedError

MAX_NAME_BYTES = 255
"""Of UTF-8: NAME_MAX of Linux and macOS."""

MAX_PATH_BYTES = 2_048
"""Of UTF-8, inside a collection; leaves the target folder half of Linux's PATH_MAX."""

MAX_PATH_PARTS = 32
"""Depth of a collection's folders, its files included."""

MAX_KEPT_EXTENSION_BYTES = 16
"""A longer 'extension' is cut with the rest of the name."""

PART_SUFFIX = ".dhtshare-part"
"""Unfinished files are called '.NAME.dhtshare-part'."""

NAMELESS = "unnamed"

# Written out, not taken from unicodedata's categories: these sets are protocol and must not change with Python.
_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\ud800-\udfff<>:"/\\\\|?*]')
_INVISIBLE = re.compile(  # soft hyphen, bidi and zero-width controls, line separators, tags, byte order mark
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(?:\.|\Z)", re.IGNORECASE)


def safe_name(name: str) -> str:
    """`name` as one file name that is harmless on every system. Never refuses; idempotent.

    Separators, control and otherwise forbidden characters become '_', invisible ones go, trailing dots and
    spaces go, names that Windows reserves get a '_' before them, what is over MAX_NAME_BYTES is cut before the
    extension, and what is then empty is NAMELESS.
    """
    name = _INVISIBLE.sub("", unicodedata.normalize("NFC", name))
    # Normalised twice: the first turns look-alikes into what is replaced here, the second joins what became neighbours.
    name = unicodedata.normalize("NFC", _UNSAFE.sub("_", name)).rstrip(" .")
    name = _shorten(name, MAX_NAME_BYTES)
    if _RESERVED.match(name):  # only now: cutting can uncover a reserved name
        name = _shorten("_" + name, MAX_NAME_BYTES)
    return name or NAMELESS


def _shorten(name: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, cut between characters, a usual extension kept."""
    raw = name.encode()
    if len(raw) <= limit:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = (dot + extension).encode()
    if not stem or len(tail) > MAX_KEPT_EXTENSION_BYTES + 1:
        tail = b""
    head = raw[: limit - len(tail)].decode(errors="ignore")
    return head.rstrip(" .") + tail.decode()


def dot_name(name: str, suffix: str = PART_SUFFIX) -> str:
    """'.NAME' and the suffix, at most MAX_NAME_BYTES. `name` must be safe.

    Where it has to be shortened, some digits of the whole name's hash keep two long names apart.
    """
    room = MAX_NAME_BYTES - 1 - len(suffix.encode())
    if len(name.encode()) > room:
        mark = "~" + blake3(name.encode()).hexdigest(length=4)
        name = _shorten(name, room - len(mark)) + mark
    return f".{name}{suffix}"


def is_unfinished(name: str) -> bool:
    """Whether a file or folder of this name is one of our unfinished ones."""
    return name.startswith(".") and name.endswith(PART_SUFFIX)


def check_relative_path(path: str) -> None:
    """Raises MalformedError, with the reason, unless `path` is safe inside a collection.

    Parts stand between '/'; a path that ends in '/' is an empty folder.
    """
    parts = path.removesuffix("/").split("/")
    fault = next((fault for fault in map(_fault_of, parts) if fault), None)
    if fault is None and len(parts) > MAX_PATH_PARTS:
        fault = f"it is over {MAX_PATH_PARTS} folders deep"
    if fault is None and len(path.encode()) > MAX_PATH_BYTES:
        fault = f"it has over {MAX_PATH_BYTES} bytes"
    if fault is not None:
        raise MalformedError(f"The path {path[:80]!a} is not safe: {fault}.")


@lru_cache(maxsize=4_096)  # most parts of a collection's paths are folders, and come again
def _fault_of(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "it is absolute, or has an empty, '.' or '..' part"
    if not part.isascii():
        if _INVISIBLE.search(part):
            return "it has invisible or text-direction characters"
        if not unicodedata.is_normalized("NFC", part):
            return "it is not in Unicode's normal form C"
    if _UNSAFE.search(part):
        return 'it has a control character or one of < > : " \\ | ? *'
    if part[-1] in " .":
        return "one of its names ends with a dot or a space"
    if _RESERVED.match(part):
        return "one of its names is reserved by Windows"
    if len(part) * 4 > MAX_NAME_BYTES and len(part.encode()) > MAX_NAME_BYTES:
        return f"one of its names has over {MAX_NAME_BYTES} bytes"
    return None


def _folded(name: str) -> str:
    """Equal for two names that a case-insensitive or normalising file system would take for one."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def check_collisions(paths: Iterable[str]) -> None:
    """Raises MalformedError where two safe paths cannot both exist on every file system.

    That is: two equal after case folding or normalisation (folders on the way included), a file that is
    another's folder, or an empty folder that is not empty. `paths` is walked again where something looks wrong.
    """
    # Hashes of files and empty folders (folded), and of folders that have something in them (as written, and folded):
    # a hundred thousand of them are small. Nobody can aim at equal ones, for they are keyed.
    seen: set[int] = set()
    folders: set[int] = set()
    folded_folders: set[int] = set()

    @lru_cache(maxsize=64)  # paths come sorted
    def fold(path: str) -> str:
        above, _, name = path.removesuffix("/").rpartition("/")
        return f"{fold(above) if above else ''}/{_folded(name)}"

    def refuse_equal(path: str, before: Iterable[str]) -> None:
        for other in before:
            if fold(other) == fold(path):
                _refuse(other, path)

    for number, path in enumerate(paths):
        mark = hash(fold(path))
        if mark in seen:
            refuse_equal(path, islice(paths, number))
        seen.add(mark)
        for folder in _folders_above(path):
            if hash(folder) in folders:
                break  # and with it all above
            folders.add(hash(folder))
            if (mark := hash(fold(folder))) in folded_folders:
                every = (one for other in paths for one in _folders_above(other))
                refuse_equal(folder, takewhile(folder.__ne__, every))
            folded_folders.add(mark)
    if not seen.isdisjoint(folded_folders):
        files = {fold(path): path for path in paths if hash(fold(path)) in folded_folders}
        for path in paths:
            for folder in _folders_above(path):
                if (file := files.get(fold(folder))) is not None:
                    _refuse(file, folder)


def _folders_above(path: str) -> Iterator[str]:
    """The folders on the way to a path, the innermost first."""
    above = path.removesuffix("/").rpartition("/")[0]
    while above:
        yield above
        above = above.rpartition("/")[0]


def _refuse(one: str, other: str) -> None:
    raise MalformedError(
        f"The paths {one[:80]!a} and {other[:80]!a} cannot stand side by side on every file system; rename one of them."
    )
