"""The catalogue against a model of a few lines: whatever is published, changed, lost, found again and withdrawn."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dhtshare.library.catalogue import Catalogue
from dhtshare.library.journal import Journal
from dhtshare.library.records import Member, Place, State
from dhtshare.library.shelf import Shelf
from tests.unit.library.library_fakes import describe, file_item, folder_item, write

PATHS = ("one", "two", "three")
CONTENTS = (b"x", b"yy")
BAD = st.sampled_from([State.CHANGED, State.MISSING])


class LibraryMachine(RuleBasedStateMachine):
    """Three paths, two contents, and a collection of two files that holds both.

    The model: which content lies at which path and how it stands, and which items were withdrawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name)
        self.catalogue = Catalogue.open(self.root / "catalogue.db")
        self.shelf = Shelf(self.catalogue)
        self.places: dict[Path, tuple[bytes, State]] = {}
        self.published: dict[bytes, bool] = {}  # content hash -> withdrawn
        album = {"a": CONTENTS[0], "b": CONTENTS[1]}
        self.album = folder_item(self.root / "album", album)
        self.members: tuple[Member, ...] = tuple(self.album.members)

    def teardown(self) -> None:
        self.shelf.close()
        self.catalogue.close()
        self._folder.cleanup()

    def _here(self, data: bytes) -> bool:
        return (data, State.SHARED) in self.places.values()

    @rule(name=st.sampled_from(PATHS), data=st.sampled_from(CONTENTS))
    def publish(self, name: str, data: bytes) -> None:
        path = write(self.root / name, data)
        item = file_item(path)
        self.catalogue.add([item])
        self.places[path] = (data, State.SHARED)
        self.published[item.content_hash] = False

    @rule()
    def publish_album(self) -> None:
        self.catalogue.add([self.album])
        for member, data in zip(self.members, CONTENTS, strict=True):
            self.places[member.place.path] = (data, State.SHARED)
        self.published[self.album.content_hash] = False

    @precondition(lambda self: self.places)
    @rule(pick=st.integers(0, 9), state=BAD)
    def lose(self, pick: int, state: State) -> None:
        path = sorted(self.places)[pick % len(self.places)]
        self.catalogue.mark(path, state)
        self.places[path] = (self.places[path][0], state)

    @precondition(lambda self: self.places)
    @rule(pick=st.integers(0, 9))
    def find_again(self, pick: int) -> None:
        path = sorted(self.places)[pick % len(self.places)]
        data = self.places[path][0]
        self.catalogue.confirm(Place(path, len(data), pick))
        self.places[path] = (data, State.SHARED)

    @precondition(lambda self: self.published)
    @rule(pick=st.integers(0, 9))
    def withdraw(self, pick: int) -> None:
        key = sorted(self.published)[pick % len(self.published)]
        gone = self.catalogue.withdraw(key)
        assert [item.content_hash for item in gone] == ([] if self.published[key] else [key])
        self.published[key] = True

    @rule()
    def restart(self) -> None:
        self.shelf.close()
        self.catalogue.close()
        self.catalogue = Catalogue.open(self.root / "catalogue.db")
        self.shelf = Shelf(self.catalogue)
        assert self.catalogue.lost == ()
        for data in CONTENTS:  # what is withdrawn and lies nowhere is forgotten at a start
            key = describe(data).content_hash
            if self.published.get(key) and data not in {content for content, _ in self.places.values()}:
                del self.published[key]

    @invariant()
    def items_are_those_published(self) -> None:
        states = {item.content_hash: item.state for item in self.catalogue.items()}
        assert states.keys() == self.published.keys()
        for key, withdrawn in self.published.items():
            assert (states[key] is State.WITHDRAWN) == withdrawn

    @invariant()
    def a_file_is_shared_while_some_place_holds_it(self) -> None:
        for data in CONTENTS:
            item = self.catalogue.item(describe(data).content_hash)
            if item is not None and item.state is not State.WITHDRAWN:
                assert (item.state is State.SHARED) == self._here(data)

    @invariant()
    def the_album_is_shared_while_all_its_files_are_here(self) -> None:
        if self.published.get(self.album.content_hash) is False:
            item = self.catalogue.item(self.album.content_hash)
            assert item is not None
            assert (item.state is State.SHARED) == all(map(self._here, CONTENTS))
            here = [number for number, data in enumerate(CONTENTS) if self._here(data)]
            assert self.catalogue.members_here(self.album.content_hash) == here

    @invariant()
    def served_is_what_is_shared_and_here(self) -> None:
        album_up = self.published.get(self.album.content_hash) is False
        for data in CONTENTS:
            key = describe(data).content_hash
            own = self.published.get(key)
            wanted = self._here(data) and (own is False or (own is None and album_up))
            assert (self.shelf.offer(key) is not None) == wanted
        album = self.shelf.offer(self.album.content_hash)
        assert (album is not None) == (album_up and any(map(self._here, CONTENTS)))
        if album is not None:
            assert (album.have is None) == all(map(self._here, CONTENTS))

    @invariant()
    def the_journal_names_what_is_not_withdrawn(self) -> None:
        live = Journal(self.root / "shared.jsonl").live()
        assert live.keys() == {key for key, withdrawn in self.published.items() if not withdrawn}


LibraryMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
TestLibrary = LibraryMachine.TestCase
