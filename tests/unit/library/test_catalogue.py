"""What the catalogue is told, it tells again: after a restart too, and as the files behind it stand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.errors import DiskError, UsageError
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.recheck import recheck
from dhtshare.library.records import DueTime, Kind, Place, SearchRow, State, UnfinishedFetch
from tests.unit.library.library_fakes import describe, file_item, folder_item, place_of, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "catalogue.db"


@pytest.fixture
def catalogue(path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(path)
    yield opened
    opened.close()


def reopened(catalogue: Catalogue, path: Path) -> Catalogue:
    catalogue.close()
    return Catalogue.open(path)


def test_an_item_comes_back_after_a_restart(path: Path, tmp_path: Path) -> None:
    item = file_item(
        write(tmp_path / "film.mkv", b"pictures"), keywords=("Música",), words=("musica", "film"), added=7.5
    )
    first = Catalogue.open(path)
    first.add([item])
    second = reopened(first, path)
    found = second.item(item.content_hash)
    assert found is not None
    assert (found.name, found.path, found.size, found.chunks) == ("film.mkv", tmp_path / "film.mkv", 8, 1)
    assert (found.keywords, found.words, found.added) == (("Música",), ("musica", "film"), 7.5)
    assert (found.kind, found.state, found.part_of) == (Kind.FILE, State.SHARED, None)
    assert second.descriptor(item.content_hash) == item.descriptor
    assert second.lost == ()
    second.close()


def test_a_path_that_is_no_text_is_kept_as_it_is(catalogue: Catalogue, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    item = file_item(write(path, b"bytes"))
    catalogue.add([item])
    found = catalogue.item_at(path)
    assert found is not None
    assert found.path == path
    assert found.name == "caf?"
    assert [place.path for place in catalogue.places(item.content_hash)] == [path]


def test_publishing_again_renews_names_and_words(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"same")
    catalogue.add([file_item(path, words=("old",), added=1.0)])
    assert catalogue.add([file_item(path, name="b", words=("new",), added=2.0)]) == []
    (found,) = catalogue.items()
    assert (found.name, found.words, found.added) == ("b", ("new",), 1.0)


def test_a_file_known_by_size_and_time_is_not_hashed_again(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"data")
    item = file_item(path)
    catalogue.add([item])
    place = place_of(path)
    assert catalogue.known(path, place.size, place.mtime_ns) == item.content_hash
    assert catalogue.known(path, place.size, place.mtime_ns + 1) is None
    assert catalogue.known(path, place.size + 1, place.mtime_ns) is None
    catalogue.mark(path, State.CHANGED)
    assert catalogue.known(path, place.size, place.mtime_ns) is None


def test_new_bytes_at_an_old_path_make_the_old_item_changed(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"old")
    old = file_item(path)
    catalogue.add([old])
    new = file_item(write(path, b"newer"))
    (changed,) = catalogue.add([new])
    assert changed.content_hash == old.content_hash
    assert changed.state is State.CHANGED
    at_path = catalogue.item_at(path)
    assert at_path is not None
    assert at_path.content_hash == new.content_hash


def test_a_second_copy_keeps_an_item_shared(catalogue: Catalogue, tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", b"same"), write(tmp_path / "two", b"same")
    catalogue.add([file_item(one), file_item(two)])
    assert catalogue.mark(one, State.MISSING) == []
    (item,) = catalogue.mark(two, State.MISSING)
    assert item.state is State.MISSING
    (item,) = catalogue.confirm(place_of(two))
    assert item.state is State.SHARED


def test_a_collection_is_as_bad_as_its_worst_member(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    item = folder_item(folder, {"a": b"1", "b": b"2", "c/": b""})
    catalogue.add([item])
    assert catalogue.members_here(item.content_hash) == [0, 1]
    (changed,) = catalogue.mark(folder / "a", State.MISSING)
    assert (changed.content_hash, changed.state) == (item.content_hash, State.MISSING)
    (changed,) = catalogue.mark(folder / "b", State.CHANGED)
    assert changed.state is State.CHANGED
    assert catalogue.members_here(item.content_hash) == []
    catalogue.confirm(place_of(folder / "a"))
    (changed,) = catalogue.confirm(place_of(folder / "b"))
    assert changed.state is State.SHARED


def test_a_member_overwritten_by_a_publish_changes_its_collection(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    item = folder_item(folder, {"a": b"1", "b": b"2"})
    catalogue.add([item])
    (changed,) = catalogue.add([file_item(write(folder / "a", b"other"))])
    assert (changed.content_hash, changed.state) == (item.content_hash, State.CHANGED)
    assert catalogue.members_here(item.content_hash) == [1]


def test_a_collection_with_some_of_its_files_is_partial(catalogue: Catalogue, tmp_path: Path) -> None:
    whole = folder_item(tmp_path / "album", {"a": b"1", "b": b"2"})
    catalogue.add([folder_item(tmp_path / "album", {"a": b"1", "b": b"2"}, members=list(whole.members)[:1])])
    item = catalogue.item(whole.content_hash)
    assert item is not None
    assert item.state is State.PARTIAL
    catalogue.add([whole])
    item = catalogue.item(whole.content_hash)
    assert item is not None
    assert item.state is State.SHARED


def test_members_announced_for_themselves_go_with_their_collection(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    item = folder_item(folder, {"a": b"1", "b": b"2"})
    member = file_item(folder / "a", part_of=item.content_hash, words=("member",))
    catalogue.add([item, member])
    assert [entry.kind for entry in catalogue.items()] == [Kind.COLLECTION]
    assert [entry.part_of for entry in catalogue.items(members=True)] == [None, item.content_hash]
    gone = catalogue.withdraw(item.content_hash)
    assert [entry.content_hash for entry in gone] == [item.content_hash, member.content_hash]
    assert not catalogue.is_served(member.content_hash)
    assert catalogue.withdraw(item.content_hash) == []


def test_a_member_of_two_collections_stays_with_the_other(catalogue: Catalogue, tmp_path: Path) -> None:
    one = folder_item(tmp_path / "one", {"a": b"shared"})
    two = folder_item(tmp_path / "two", {"a": b"shared", "b": b"more"})
    member = file_item(tmp_path / "one" / "a", part_of=one.content_hash)
    catalogue.add([one, two, member])
    assert [item.content_hash for item in catalogue.withdraw(one.content_hash)] == [one.content_hash]
    kept = catalogue.item(member.content_hash)
    assert kept is not None
    assert (kept.state, kept.part_of) == (State.SHARED, two.content_hash)


def test_what_was_published_for_itself_keeps_its_name_as_a_member(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    item = folder_item(folder, {"a": b"1"})
    catalogue.add([file_item(folder / "a", name="mine")])
    catalogue.add([item, file_item(folder / "a", name="a", part_of=item.content_hash)])
    own = catalogue.item(describe(b"1").content_hash)
    assert own is not None
    assert (own.name, own.part_of) == ("mine", None)
    catalogue.withdraw(item.content_hash)
    assert catalogue.is_served(own.content_hash)


def test_small_members_are_served_while_their_collection_is(catalogue: Catalogue, tmp_path: Path) -> None:
    item = folder_item(tmp_path / "album", {"a": b"1"})
    catalogue.add([item])
    assert catalogue.is_served(describe(b"1").content_hash)
    catalogue.withdraw(item.content_hash)
    assert not catalogue.is_served(describe(b"1").content_hash)
    assert not catalogue.is_served(b"\0" * 32)


def test_what_was_withdrawn_can_be_shared_again(catalogue: Catalogue, tmp_path: Path) -> None:
    item = file_item(write(tmp_path / "a", b"data"))
    catalogue.add([item])
    catalogue.set_due([DueTime(item.content_hash, "lan/entry", 5.0)])
    catalogue.withdraw(item.content_hash)
    assert catalogue.due_times() == []
    assert catalogue.count() == {State.WITHDRAWN: 1}
    assert len(list(catalogue.places())) == 1, "verify still hashes it"
    catalogue.add([item])
    assert catalogue.count() == {State.SHARED: 1}


def test_items_can_be_chosen_by_state(catalogue: Catalogue, tmp_path: Path) -> None:
    items = [file_item(write(tmp_path / name, name.encode())) for name in "abc"]
    catalogue.add(items)
    catalogue.withdraw(items[0].content_hash)
    catalogue.mark(tmp_path / "b", State.MISSING)
    assert [item.name for item in catalogue.items(states={State.SHARED, State.MISSING})] == ["b", "c"]
    assert [item.name for item in catalogue.items(states=())] == []


def test_more_items_than_a_page_come_in_order_and_once(catalogue: Catalogue, tmp_path: Path) -> None:
    names = [f"{n:04}" for n in range(600)]
    catalogue.add(file_item(write(tmp_path / name, name.encode())) for name in names)
    assert [item.name for item in catalogue.items()] == names
    assert [place.path.name for place in catalogue.places()] == names


def test_the_catalogue_may_be_asked_while_it_streams(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.add(file_item(write(tmp_path / str(n), b"%d" % n)) for n in range(300))
    for item in catalogue.items():
        catalogue.withdraw(item.content_hash)
    assert catalogue.count() == {State.WITHDRAWN: 300}


def test_recheck_notices_what_changed_went_and_came_back(catalogue: Catalogue, tmp_path: Path) -> None:
    paths = [write(tmp_path / name, name.encode()) for name in ("same", "edited", "deleted")]
    catalogue.add([file_item(path) for path in paths])
    assert recheck(catalogue) == []
    write(tmp_path / "edited", b"other bytes")
    (tmp_path / "deleted").rename(tmp_path / "aside")
    assert {item.name: item.state for item in recheck(catalogue)} == {
        "edited": State.CHANGED,
        "deleted": State.MISSING,
    }
    assert recheck(catalogue) == []
    (tmp_path / "aside").rename(tmp_path / "deleted")
    assert [(item.name, item.state) for item in recheck(catalogue)] == [("deleted", State.SHARED)]


def test_a_link_in_place_of_a_file_is_a_change(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"data")
    catalogue.add([file_item(path)])
    path.rename(tmp_path / "b")
    path.symlink_to(tmp_path / "b")
    (item,) = recheck(catalogue)
    assert item.state is State.CHANGED


def test_the_generation_tells_when_to_look_again(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"data")
    seen = [catalogue.generation]
    for act in (
        lambda: catalogue.add([file_item(path)]),
        lambda: catalogue.mark(path, State.MISSING),
        lambda: catalogue.confirm(place_of(path)),
        lambda: catalogue.withdraw(describe(b"data").content_hash),
    ):
        act()
        seen.append(catalogue.generation)
    assert seen == sorted(set(seen))


def test_a_failed_add_shares_nothing_of_it(catalogue: Catalogue, tmp_path: Path) -> None:
    good = file_item(write(tmp_path / "a", b"1"))
    bad = file_item(write(tmp_path / "b", b"2"), size=1 << 70)  # more than SQLite's integers hold
    with pytest.raises(OverflowError):
        catalogue.add([good, bad])
    assert list(catalogue.items()) == []
    catalogue.add([good])
    assert len(list(catalogue.items())) == 1


def test_numbers_grow_across_restarts_and_clocks_set_back(path: Path) -> None:
    first = Catalogue.open(path)
    numbers = [first.next_sequence(1_000_000), first.next_sequence(1_000_000), first.next_sequence(999)]
    assert numbers == [1_000_000, 1_000_001, 1_000_002]
    second = reopened(first, path)
    numbers.append(second.next_sequence(5))
    assert numbers[-1] == 1_000_003, "a clean end gives back what it did not use"
    second.close()


def test_numbers_grow_after_a_kill_too(path: Path) -> None:
    killed = Catalogue.open(path)
    last = killed.next_sequence(1_000_000)
    after = Catalogue.open(path)
    assert after.next_sequence(5) > last
    assert killed.next_sequence(5) != after.next_sequence(5), "two processes of one home never share a number"
    after.close()
    killed.close()


def test_due_times_search_rows_and_fetches_are_kept(path: Path, tmp_path: Path) -> None:
    item = file_item(write(tmp_path / "a", b"1"))
    first = Catalogue.open(path)
    first.add([item])
    first.set_due(
        [DueTime(item.content_hash, "b", 2.0), DueTime(item.content_hash, "a", 1.0), DueTime(b"?" * 32, "c", 0)]
    )
    first.set_due([DueTime(item.content_hash, "b", 3.0)])
    first.save_search([SearchRow(b"r" * 32, "row\ud800", 5, Kind.COLLECTION)])
    fetch = UnfinishedFetch(
        content_hash=b"f" * 32, kind=Kind.FILE, name="f", size=1, directory=tmp_path, only=("*.mp3",), started=1.5
    )
    first.begin_fetch(fetch)
    second = reopened(first, path)
    assert second.due_times() == [DueTime(item.content_hash, "a", 1.0), DueTime(item.content_hash, "b", 3.0)]
    assert second.search_row(1) == SearchRow(b"r" * 32, "row?", 5, Kind.COLLECTION)
    assert second.fetches() == [fetch]
    second.end_fetch(b"f" * 32)
    assert second.fetches() == []
    second.clear_due(item.content_hash)
    assert second.due_times() == []
    second.close()


@pytest.mark.parametrize("number", [0, 2, -1])
def test_a_row_out_of_range_says_what_there_is(catalogue: Catalogue, number: int) -> None:
    with pytest.raises(UsageError, match="no search with hits"):
        catalogue.search_row(number)
    catalogue.save_search([SearchRow(b"r" * 32, "row", 5, Kind.FILE)])
    with pytest.raises(UsageError, match="rows 1 to 1"):
        catalogue.search_row(number)


def test_descriptors_of_a_fetch_are_kept_until_it_ends(path: Path) -> None:
    first = Catalogue.open(path)
    raw = describe(b"member").encode()
    first.remember_descriptors([raw, raw])
    key = describe(b"member").content_hash
    first.begin_fetch(UnfinishedFetch(content_hash=b"f" * 32, kind=Kind.COLLECTION, name="f", size=1, directory=path))
    second = reopened(first, path)
    assert second.descriptor(key) == raw
    second.end_fetch(b"f" * 32)
    third = reopened(second, path)
    assert third.descriptor(key) is None
    third.close()


def test_a_withdrawn_file_whose_path_has_other_bytes_is_forgotten(path: Path, tmp_path: Path) -> None:
    first = Catalogue.open(path)
    old = file_item(write(tmp_path / "a", b"old"))
    first.add([old])
    first.withdraw(old.content_hash)
    first.add([file_item(write(tmp_path / "a", b"newer"))])
    second = reopened(first, path)
    assert second.item(old.content_hash) is None
    assert len(list(second.items())) == 1
    second.close()


async def test_calls_from_the_event_loop_run_on_the_worker_in_order(catalogue: Catalogue, tmp_path: Path) -> None:
    item = file_item(write(tmp_path / "a", b"1"))
    assert await catalogue.run(catalogue.add, [item]) == []
    assert len(await catalogue.run(catalogue.withdraw, item.content_hash)) == 1


def test_a_catalogue_of_a_newer_version_is_left_alone(path: Path) -> None:
    import sqlite3

    Catalogue.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DiskError, match="newer version"):
        Catalogue.open(path)
    assert path.read_bytes() == before


def test_a_place_may_be_confirmed_with_a_new_time(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"data")
    item = file_item(path)
    catalogue.add([item])
    touched = Place(path, 4, 12345)
    catalogue.mark(path, State.CHANGED)
    catalogue.confirm(touched)
    assert catalogue.known(path, 4, 12345) == item.content_hash
    assert catalogue.confirm(Place(tmp_path / "unknown", 1, 1)) == []
