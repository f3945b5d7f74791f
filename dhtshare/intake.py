"""From a path to what the library can hold: scanned, hashed, named, with its words. Blocking.

Runs in a worker thread; never touches the network. A file whose size and time the catalogue knows is not
read again.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor, decode
from dhtshare.content.folder import FolderScan, ScannedFile, scan_folder
from dhtshare.content.hasher import hash_file_state
from dhtshare.content.keywords import collection_words, words_for
from dhtshare.content.paths import safe_name
from dhtshare.errors import DhtshareError, InterruptedByUserError, UsageError
from dhtshare.faults import disk_error
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import Kind, Member, NewItem, Place
from dhtshare.nofollow import real_path

ANNOUNCED_MEMBER_BYTES = 1 << 20  # members this large are announced for themselves too (design.md, section 4)


_Hashed = tuple[FileDescriptor, Place]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One path made ready: the item itself first, then the members announced with it."""

    items: tuple[NewItem, ...]
    skipped: int = 0
    """Symbolic links, special and unfinished files left out of a collection."""

    @property
    def item(self) -> NewItem:
        return self.items[0]


class Intake:
    """What was said about the paths of one `publish`: given keywords, a name, whether each member counts.

    `progress(name, total)` gives what is told of each piece of a path that was hashed, in bytes.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        keywords: Sequence[str] = (),
        name: str | None = None,
        each: bool = False,
        progress: Callable[[str, int], Callable[[int], None]],
    ) -> None:
        self._catalogue = catalogue
        self._keywords = tuple(keywords)
        self._name = safe_name(name) if name else None
        self._each = each
        self._progress = progress
        self._cancelled = False

    def cancel(self) -> None:
        """Stop soon; safe from any thread. The path at hand raises InterruptedByUserError."""
        self._cancelled = True

    def try_path(self, path: Path) -> Prepared | DhtshareError:
        """As `path`, the error returned instead of raised, but for an interruption."""
        try:
            return self.path(path)
        except InterruptedByUserError:
            raise
        except DhtshareError as error:
            return error

    def path(self, path: Path) -> Prepared:
        """Make one file or folder ready. Raises UsageError (no such thing) or DiskError (unreadable, changing)."""
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"There is no file or folder {path}. Check the path.") from error
        except OSError as error:
            raise disk_error("read", path, error) from error
        real = real_path(path)
        if stat.S_ISREG(status.st_mode):
            return Prepared((self._file(real, path.name),))
        if stat.S_ISDIR(status.st_mode):
            return self._folder(real, path.name or real.name)
        raise UsageError(f"{path} is neither a file nor a folder; only those can be published.")

    def _file(self, real: Path, called: str) -> NewItem:
        name = self._name or safe_name(called)
        descriptor, place = self._hashed(real, self._progress(name, real.stat().st_size))
        return NewItem(
            content_hash=descriptor.content_hash,
            kind=Kind.FILE,
            name=name,
            path=real,
            size=descriptor.size,
            files=1,
            chunks=descriptor.chunk_count,
            descriptor=descriptor.encode(),
            keywords=self._keywords,
            words=words_for(self._keywords, name),
            place=place,
            added=time.time(),
        )

    def _folder(self, real: Path, called: str) -> Prepared:
        if self._name is None and real in (Path.home().resolve(), Path(real.anchor)):
            raise UsageError(
                f"{real} is a home folder: its name and all the paths in it would be public. "
                "Publish a folder inside it, or say what to call it with --name."
            )
        scan = scan_folder(real)
        name = self._name or safe_name(called)
        progress = self._progress(name, scan.size)
        hashed = [self._hashed(Path(file.local), progress) for file in scan.files]
        collection = CollectionDescriptor.of(
            [
                *(
                    CollectionEntry(file.path, descriptor.size, descriptor.content_hash, file.executable)
                    for file, (descriptor, _) in zip(scan.files, hashed, strict=True)
                ),
                *map(CollectionEntry, scan.empty_folders),
            ]
        )
        numbers = {entry.path: number for number, entry in enumerate(collection.entries)}
        members = [
            Member(numbers[file.path], place, descriptor.encode())
            for file, (descriptor, place) in zip(scan.files, hashed, strict=True)
        ]
        whole = NewItem(
            content_hash=collection.content_hash,
            kind=Kind.COLLECTION,
            name=name,
            path=real,
            size=collection.size,
            files=len(scan.files),
            chunks=sum(descriptor.chunk_count for descriptor, _ in hashed),
            descriptor=collection.encode(),
            keywords=self._keywords,
            words=collection_words(self._keywords, name, (entry.path for entry in collection.entries)),
            members=members,
            each=self._each,
            added=time.time(),
        )
        announced = self._announced(whole, scan, hashed)
        return Prepared((whole, *announced), _left_out(scan))

    def _announced(self, whole: NewItem, scan: FolderScan, hashed: Sequence[_Hashed]) -> list[NewItem]:
        """The members that are found alone by name and hash: large ones, or with `each` all."""
        announced: dict[bytes, NewItem] = {}
        for file, (descriptor, place) in zip(scan.files, hashed, strict=True):
            if self._each or descriptor.size >= ANNOUNCED_MEMBER_BYTES:
                announced.setdefault(descriptor.content_hash, self._member(whole, file, descriptor, place))
        return list(announced.values())

    def _member(self, whole: NewItem, file: ScannedFile, descriptor: FileDescriptor, place: Place) -> NewItem:
        *folders, name = file.path.split("/")
        return NewItem(
            content_hash=descriptor.content_hash,
            kind=Kind.FILE,
            name=name,
            path=place.path,
            size=descriptor.size,
            files=1,
            chunks=descriptor.chunk_count,
            descriptor=descriptor.encode(),
            keywords=self._keywords,
            words=words_for(self._keywords, name, folders=[*reversed(folders), whole.name]),
            part_of=whole.content_hash,
            added=whole.added,
        )

    def _hashed(self, real: Path, progress: Callable[[int], None]) -> _Hashed:
        """The descriptor of a file: remembered if its size and time are those that were hashed, else read."""
        try:
            status = real.lstat()
        except OSError as error:
            raise disk_error("read", real, error) from error
        known = self._catalogue.known(real, status.st_size, status.st_mtime_ns)
        raw = self._catalogue.descriptor(known) if known is not None else None
        if raw is not None and isinstance(descriptor := decode(raw), FileDescriptor):
            progress(status.st_size)
            return descriptor, Place(real, status.st_size, status.st_mtime_ns)
        hashed = hash_file_state(real, progress=progress, cancelled=lambda: self._cancelled, follow_symlink=False)
        return hashed.descriptor, Place(real, hashed.descriptor.size, hashed.mtime_ns)


def _left_out(scan: FolderScan) -> int:
    return scan.symlinks + scan.special + scan.unfinished
