"""What a demo publishes: the user's paths, or real files found in the Python installation, and one generated file."""

from __future__ import annotations

import os
import re
import sysconfig
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dhtshare.cli.display import human_size
from dhtshare.errors import DiskError, UsageError

PIECE = 1 << 20
SPARE_BYTES = 200_000_000  # homes, logs, and the 100 MB that a fetch leaves free
MOST_FOUND_FILES = 4

#: Where a Python installation has documents, programs and libraries worth sharing; the first few that exist are.
FOUND_FILES = ("LICENSE.txt", "pydoc_data/topics.py", "turtle.py", "_pydecimal.py", "typing.py", "argparse.py")
FOUND_FOLDERS = ("email", "asyncio", "json", "http")

_PLAIN_SUFFIX = re.compile(r"\.\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Material:
    """Real files, and folders of which one is fetched in part."""

    files: tuple[Path, ...]
    folders: tuple[Path, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        return (*self.files, *self.folders)

    @property
    def size(self) -> int:
        """Bytes of all files, those in folders included."""
        inside = (file for folder in self.folders for file in regular_files(folder).values())
        return sum(path.stat().st_size for path in (*self.files, *inside))


def gather(paths: Sequence[Path]) -> Material:
    """The user's paths, with what is missing for the story (a file, a folder) found on this machine."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist. Name files or folders, or none to use what is on this machine.")
    files = tuple(path.absolute() for path in paths if path.is_file())
    try:
        folders = tuple(path.absolute() for path in paths if path.is_dir() and regular_files(path))
    except OSError as error:
        raise DiskError(f"Cannot read {error.filename}: {error.strerror}. Choose what you may read.") from error
    library = Path(sysconfig.get_path("stdlib"))
    return Material(files or found_files(library), folders or found_folders(library))


def found_files(library: Path) -> tuple[Path, ...]:
    """A few readable files: documents of the standard library, and Python's own shared library."""
    shared = Path(sysconfig.get_config_var("LIBDIR") or library).glob("libpython3.*.so*")
    candidates = (*shared, *(library / name for name in FOUND_FILES))
    found = {path.resolve(): path for path in candidates if path.is_file() and os.access(path, os.R_OK)}
    return tuple(found)[:MOST_FOUND_FILES]


def found_folders(library: Path) -> tuple[Path, ...]:
    """One folder of the standard library."""
    return tuple(library / name for name in FOUND_FOLDERS if (library / name).is_dir())[:1]


def regular_files(folder: Path) -> dict[str, Path]:
    """Path inside the collection → file on disk, as a publish of `folder` sees it: no symlinks, NFC names."""

    def walk(current: Path) -> Iterator[Path]:
        for path in sorted(current.iterdir()):
            if path.is_symlink():
                continue
            if path.is_dir():
                yield from walk(path)
            elif path.is_file():
                yield path

    return {unicodedata.normalize("NFC", path.relative_to(folder).as_posix()): path for path in walk(folder)}


def pattern_for(names: Iterable[str]) -> str:
    """A glob that takes part of a folder: the suffix that most of its files have, compiled Python aside; else all."""
    suffixes = Counter(Path(name).suffix for name in names if not name.endswith(".pyc"))
    suffixes = Counter({suffix: count for suffix, count in suffixes.items() if _PLAIN_SUFFIX.fullmatch(suffix)})
    most = suffixes.most_common(1)
    return f"**{most[0][0]}" if most else "**"


def expected_files(folder: Path, pattern: str) -> dict[str, Path]:
    """Which of a folder's files a pattern of `pattern_for` takes."""
    return {name: path for name, path in regular_files(folder).items() if name.endswith(pattern.removeprefix("**"))}


def generate(path: Path, size: int) -> None:
    """A file of `size` random bytes: nothing about it can be guessed, compressed or known from before."""
    with path.open("wb") as file:
        for start in range(0, size, PIECE):
            file.write(os.urandom(min(PIECE, size - start)))


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files are equal, byte for byte."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while piece := left.read(PIECE):
            if piece != right.read(PIECE):
                return False
    return True


def temporary_folders() -> list[Path]:
    """Where a demo may make its folder, the first with room for it."""
    places = [Path(tempfile.gettempdir()), Path("/var/tmp")]  # noqa: S108 (a private folder is made inside)
    return [place for place in places if place.is_dir() and os.access(place, os.W_OK)]


def roomy_folder(needed: int) -> Path:
    """A folder for temporary files with room for `needed` bytes. /tmp may be a small memory disk."""
    free = {place: _free(place) for place in temporary_folders()}
    for place, bytes_free in free.items():
        if bytes_free >= needed + SPARE_BYTES:
            return place
    raise DiskError(
        f"The demo needs {human_size(needed + SPARE_BYTES)} of disk and there are {human_size(max(free.values()))} "
        f"free. Set TMPDIR to a folder on a larger disk, or choose a smaller --size."
    )


def _free(place: Path) -> int:
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize
