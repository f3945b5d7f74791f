"""What is shared is served from where it lies, as long as it is what was published."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.content.descriptor import decode
from dhtshare.content.layout import Layout
from dhtshare.errors import DiskError
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.layouts import Layouts
from dhtshare.library.offers import PartialOffer, SharedOffer
from dhtshare.library.records import Item, Kind, State
from dhtshare.library.reuse import adopt_known, know_descriptors
from dhtshare.library.shelf import Shelf
from dhtshare.library.unfinished import Unfinished
from tests.unit.library.library_fakes import MIB, describe, describe_folder, file_item, folder_item, noise, write

DATA = noise(MIB + 7)
FILES = {"a/big": DATA, "b": b"small", "c/": b"", "d": b""}


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    (tmp_path / "home").mkdir()
    opened = Catalogue.open(tmp_path / "home" / "catalogue.db")
    yield opened
    opened.close()


@pytest.fixture
def changes() -> list[Item]:
    return []


@pytest.fixture
def shelf(catalogue: Catalogue, changes: list[Item]) -> Iterator[Shelf]:
    opened = Shelf(catalogue, on_change=changes.append)
    yield opened
    opened.close()


def shared(shelf: Shelf, content_hash: bytes) -> SharedOffer:
    offer = shelf.offer(content_hash)
    assert isinstance(offer, SharedOffer)
    return offer


def read(offer: SharedOffer | PartialOffer, index: int) -> bytes:
    chunk = offer.open_chunk(index)
    try:
        return os.pread(chunk.fd, chunk.length, chunk.offset)
    finally:
        offer.close_chunk(chunk)


def test_a_file_is_served_in_place(shelf: Shelf, catalogue: Catalogue, tmp_path: Path) -> None:
    item = file_item(write(tmp_path / "film", DATA))
    assert shelf.offer(item.content_hash) is None
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)
    assert (offer.name, offer.descriptor, offer.have) == ("film", item.descriptor, None)
    assert offer.layout.chunk_count == 2
    assert read(offer, 0) + read(offer, 1) == DATA
    assert offer.member_descriptor(0) == item.descriptor


def test_a_collection_is_served_from_its_members(shelf: Shelf, catalogue: Catalogue, tmp_path: Path) -> None:
    item = folder_item(tmp_path / "album", FILES)
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)
    assert [read(offer, index) for index in range(3)] == [DATA[:MIB], DATA[MIB:], b"small"]
    assert offer.member_descriptor(0) == describe(DATA).encode()
    assert decode(offer.descriptor) == describe_folder(FILES)


def test_members_are_served_by_their_own_hash_under_their_own_name(
    shelf: Shelf, catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.add([folder_item(tmp_path / "album", FILES)])
    offer = shared(shelf, describe(DATA).content_hash)
    assert (offer.name, offer.have) == ("big", None)
    assert read(offer, 1) == DATA[MIB:]


def test_what_is_withdrawn_is_served_no_more(shelf: Shelf, catalogue: Catalogue, tmp_path: Path) -> None:
    item = file_item(write(tmp_path / "film", DATA))
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)
    catalogue.withdraw(item.content_hash)
    assert shelf.offer(item.content_hash) is None
    with pytest.raises(DiskError, match="not shared any more"):
        offer.open_chunk(0)


def edit(path: Path) -> None:
    path.write_bytes(b"other bytes")


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


harmed = pytest.mark.parametrize(
    ("harm", "state"),
    [
        (edit, State.CHANGED),
        (touch, State.CHANGED),
        (Path.unlink, State.MISSING),
        (replace_by_link, State.MISSING),
        (replace_by_pipe, State.MISSING),
    ],
)


@harmed
@pytest.mark.parametrize("opened_before", [False, True], ids=["cold", "warm"])
def test_a_file_that_is_not_what_was_published_is_offered_no_more(
    shelf: Shelf,
    catalogue: Catalogue,
    changes: list[Item],
    tmp_path: Path,
    harm: object,
    state: State,
    opened_before: bool,
) -> None:
    item = file_item(write(tmp_path / "film", DATA))
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)
    if opened_before:
        read(offer, 0)
    harm(tmp_path / "film")  # type: ignore[operator]
    with pytest.raises(DiskError, match="changed or removed"):
        offer.open_chunk(1)
    assert shelf.offer(item.content_hash) is None
    assert [(change.content_hash, change.state) for change in changes] == [(item.content_hash, state)]
    assert offer.have is not None
    assert len(offer.have) == 0


@harmed
def test_a_file_that_changes_while_its_chunks_are_sent_is_offered_no_more(
    shelf: Shelf, catalogue: Catalogue, changes: list[Item], tmp_path: Path, harm: object, state: State
) -> None:
    """Who came by torn or false chunks asks for no other, so nobody else would notice."""
    item = file_item(write(tmp_path / "film", DATA))
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)
    lent = [offer.open_chunk(0), offer.open_chunk(1)]
    harm(tmp_path / "film")  # type: ignore[operator]
    for chunk in lent:
        offer.close_chunk(chunk)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(chunk.fd)
    assert shelf.offer(item.content_hash) is None
    assert [(change.content_hash, change.state) for change in changes] == [(item.content_hash, state)]


def test_a_file_replaced_by_its_twin_goes_on(shelf: Shelf, catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path / "film", DATA)
    item = file_item(path)
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)
    assert read(offer, 1) == DATA[MIB:]
    times = path.stat()
    write(tmp_path / "new", DATA).replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read(offer, 1) == DATA[MIB:]


def test_another_copy_takes_over(shelf: Shelf, catalogue: Catalogue, changes: list[Item], tmp_path: Path) -> None:
    items = [file_item(write(tmp_path / name, DATA)) for name in ("one", "two")]
    catalogue.add(items)
    offer = shared(shelf, items[0].content_hash)
    (tmp_path / "one").unlink()
    assert read(offer, 0) == DATA[:MIB]
    assert changes == []


def test_the_rest_of_a_collection_stays_offered(shelf: Shelf, catalogue: Catalogue, tmp_path: Path) -> None:
    item = folder_item(tmp_path / "album", FILES)
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)
    assert offer.have is None
    (tmp_path / "album" / "b").unlink()
    with pytest.raises(DiskError):
        offer.open_chunk(2)
    assert offer.have is not None
    assert list(offer.have) == [0, 1]
    assert read(shared(shelf, item.content_hash), 1) == DATA[MIB:]
    (tmp_path / "album" / "a" / "big").unlink()
    with pytest.raises(DiskError):
        offer.open_chunk(0)
    catalogue.mark(tmp_path / "album" / "d", State.MISSING)
    assert shelf.offer(item.content_hash) is None


def test_too_many_open_files_are_not_the_files_fault(
    shelf: Shelf, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = file_item(write(tmp_path / "film", DATA))
    catalogue.add([item])
    offer = shared(shelf, item.content_hash)

    def exhausted(path: Path) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("dhtshare.library.offers.open_file", exhausted)
        with pytest.raises(DiskError, match="ulimit"):
            offer.open_chunk(0)
    assert read(shared(shelf, item.content_hash), 0) == DATA[:MIB]


def test_serving_keeps_few_files_open(shelf: Shelf, catalogue: Catalogue, tmp_path: Path) -> None:
    items = [file_item(write(tmp_path / str(n), b"%d" % n)) for n in range(40)]
    catalogue.add(items)
    before = len(list(Path("/dev/fd").iterdir()))
    for number, item in enumerate(items):
        assert read(shared(shelf, item.content_hash), 0) == b"%d" % number
    assert len(list(Path("/dev/fd").iterdir())) <= before + 8


def test_an_unfinished_fetch_serves_what_is_verified(shelf: Shelf, tmp_path: Path) -> None:
    descriptor = describe(DATA)
    layout = Layout.of(descriptor)
    fetch = Unfinished.open(tmp_path / "out", "film", layout, kind=Kind.FILE)
    shelf.add_unfinished(fetch, descriptor.encode(), "film")
    offer = shelf.offer(descriptor.content_hash)
    assert isinstance(offer, PartialOffer)
    assert offer.have is not None
    assert len(offer.have) == 0
    fetch.store(1, DATA[MIB:])
    assert list(offer.have) == [1]
    assert read(offer, 1) == DATA[MIB:]
    with pytest.raises(DiskError):
        offer.open_chunk(0)
    assert offer.member_descriptor(0) == descriptor.encode()
    shelf.remove_unfinished(descriptor.content_hash)
    assert shelf.offer(descriptor.content_hash) is None
    fetch.close()


def test_a_member_descriptor_that_did_not_come_yet(shelf: Shelf, tmp_path: Path) -> None:
    descriptor = describe_folder(FILES)
    fetch = Unfinished.open(tmp_path / "out", "album", Layout.of(descriptor), kind=Kind.COLLECTION)
    shelf.add_unfinished(fetch, descriptor.encode(), "album")
    offer = shelf.offer(descriptor.content_hash)
    assert isinstance(offer, PartialOffer)
    with pytest.raises(DiskError, match="not here yet"):
        offer.member_descriptor(0)
    shelf.remove_unfinished(descriptor.content_hash)
    fetch.close()


def test_a_fetch_reuses_what_the_library_has(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.add([file_item(write(tmp_path / "elsewhere", DATA)), file_item(write(tmp_path / "gone", b"small"))])
    (tmp_path / "gone").unlink()
    layout = Layout.of(describe_folder(FILES))
    fetch = Unfinished.open(tmp_path / "out", "album", layout, kind=Kind.COLLECTION)
    assert adopt_known(fetch, catalogue) == len(DATA)
    assert list(fetch.missing()) == [2]
    assert fetch.reused == len(DATA)
    fetch.close()


def test_a_layout_learns_the_descriptors_that_the_catalogue_has(catalogue: Catalogue) -> None:
    layout = Layout.of(describe_folder(FILES))
    assert know_descriptors(layout, catalogue) == 0
    catalogue.remember_descriptors([describe(DATA).encode()])
    assert know_descriptors(layout, catalogue) == 1
    assert not layout.needs_descriptor(0)


def test_a_layout_of_any_size_is_kept_beside_small_ones(catalogue: Catalogue, tmp_path: Path) -> None:
    """Its descriptor takes seconds to decode: asking for both in turn must not cost that each time."""
    files = {f"{number}": b"%d" % number for number in range(10)}
    large = folder_item(tmp_path / "large", files)
    small = [file_item(write(tmp_path / str(n), b"%d" % n)) for n in range(3)]
    catalogue.add([large, *small])
    layouts = Layouts(catalogue, max_weight=4)
    kept = layouts.get(large.content_hash)
    for item in small:
        layouts.get(item.content_hash)
        assert layouts.get(large.content_hash) is kept


def test_an_offer_is_at_hand_while_its_layout_is(catalogue: Catalogue, tmp_path: Path) -> None:
    items = [file_item(write(tmp_path / str(n), b"%d" % n)) for n in range(5)]
    catalogue.add(items)
    shelf = Shelf(catalogue, on_change=lambda _: None)
    offer = shelf.offer(items[0].content_hash)
    assert offer is not None
    assert not offer.at_hand
    assert offer.layout.size == 1
    assert offer.at_hand


def test_layouts_of_many_contents_do_not_pile_up(catalogue: Catalogue, tmp_path: Path) -> None:
    items = [file_item(write(tmp_path / str(n), b"%d" % n)) for n in range(10)]
    catalogue.add(items)
    layouts = Layouts(catalogue, max_weight=4)
    for item in items:
        assert layouts.get(item.content_hash).size == 1
        assert len(layouts) <= 4
    last = layouts.get(items[-1].content_hash)
    assert layouts.get(items[-1].content_hash) is last
    with pytest.raises(DiskError):
        layouts.get(b"?" * 32)
