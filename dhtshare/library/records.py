"""What the catalogue holds, as it goes in and comes out: items, places, and what is remembered of them."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dhtshare.content.format import Kind

__all__ = [
    "DueTime",
    "Item",
    "Kind",
    "Lost",
    "Member",
    "NewItem",
    "Place",
    "SearchRow",
    "State",
    "StoredPlace",
    "UnfinishedFetch",
]


class State(enum.StrEnum):
    """How an item or a place stands. A collection is as bad as the worst of its members.

    PARTIAL: a collection of which only some files are here; places are never PARTIAL or WITHDRAWN.
    """

    SHARED = "shared"
    WITHDRAWN = "withdrawn"
    CHANGED = "changed"
    MISSING = "missing"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Place:
    """One file of this disk as it was when it was hashed.

    `path` is absolute and free of symbolic links (`nofollow.real_path`); size in bytes; mtime_ns as stat
    tells it. As long as size and mtime_ns stand, the file counts as unchanged.
    """

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, status: os.stat_result) -> Place:
        """The place that a stat of `path` describes."""
        return cls(path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a new collection: its file number in the Layout, where it lies, its own descriptor."""

    number: int
    place: Place
    descriptor: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """Something to be shared. A file has its `place`; a collection its `members`, which may be a generator.

    `files` and `chunks` count the whole content. `part_of` is the collection because of which a member is
    announced by itself; its place is known from there. `each` says that all members of a collection are
    announced, so that a rebuilt catalogue does the same again. `added` is Unix seconds.
    """

    content_hash: bytes
    kind: Kind
    name: str
    path: Path
    size: int
    files: int
    chunks: int
    descriptor: bytes
    keywords: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    place: Place | None = None
    members: Iterable[Member] = ()
    part_of: bytes | None = None
    each: bool = False
    added: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that this node shares or shared. See NewItem for the fields."""

    content_hash: bytes
    kind: Kind
    name: str
    path: Path
    size: int
    files: int
    chunks: int
    keywords: tuple[str, ...]
    words: tuple[str, ...]
    state: State
    part_of: bytes | None
    added: float


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """A place with the content that lies there and whether it still does: SHARED, CHANGED or MISSING."""

    path: Path
    size: int
    mtime_ns: int
    content_hash: bytes
    state: State


@dataclass(frozen=True, slots=True)
class SearchRow:
    """One numbered row of the last search, so that `fetch 3` knows what was meant."""

    content_hash: bytes
    name: str
    size: int
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedFetch:
    """A fetch that was begun and neither finished nor given up. `only` are its globs, `started` Unix seconds."""

    content_hash: bytes
    kind: Kind
    name: str
    size: int
    directory: Path
    only: tuple[str, ...] = ()
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class DueTime:
    """When a record of a content is to be renewed. `record` is the announcer's own short name for it."""

    content_hash: bytes
    record: str
    at: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that a torn catalogue held: to be hashed and published again from `path`."""

    path: Path
    content_hash: bytes
    name: str
    keywords: tuple[str, ...]
    each: bool
