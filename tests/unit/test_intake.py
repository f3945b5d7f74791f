"""From paths to items of the library."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, decode
from dhtshare.content.folder import FolderScan, scan_folder
from dhtshare.content.hasher import hash_file
from dhtshare.errors import DhtshareError, DiskError, InterruptedByUserError, MalformedError, UsageError
from dhtshare.intake import ANNOUNCED_MEMBER_BYTES, Intake
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import Kind


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(tmp_path / "catalogue")
    yield opened
    opened.close()


class Told:
    """What was told of hashing: name, total and bytes."""

    def __init__(self) -> None:
        self.hashed: list[int] = []

    def __call__(self, name: str, total: int) -> Callable[[int], None]:
        return self.hashed.append


def intake(catalogue: Catalogue, **options: object) -> Intake:
    return Intake(catalogue, **{"progress": Told(), **options})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Música Popular"
    (root / "disco um").mkdir(parents=True)
    (root / "disco um" / "01 Canção.mp3").write_bytes(b"a" * ANNOUNCED_MEMBER_BYTES)
    (root / "capa.txt").write_bytes(b"capa")
    (root / "vazio").mkdir()
    (root / "atalho").symlink_to("capa.txt")
    return root


def test_a_file_becomes_one_item(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "Bach - Toccata.flac"
    path.write_bytes(b"x" * 5)
    prepared = intake(catalogue, keywords=["Organ"]).path(path)
    item = prepared.item
    assert (item.kind, item.name, item.size, item.files, item.chunks) == (Kind.FILE, path.name, 5, 1, 1)
    assert item.words == ("organ", "bach", "toccata")
    assert item.place is not None
    assert item.place.size == 5
    assert len(prepared.items) == 1


def test_a_folder_announces_its_large_members(folder: Path, catalogue: Catalogue) -> None:
    prepared = intake(catalogue).path(folder)
    whole, member = prepared.items
    assert (whole.kind, whole.name, whole.files, prepared.skipped) == (Kind.COLLECTION, "Música Popular", 2, 1)
    assert "musica" in whole.words
    assert "cancao" in whole.words
    descriptor = decode(whole.descriptor)
    assert isinstance(descriptor, CollectionDescriptor)
    assert [entry.path for entry in descriptor.entries] == ["capa.txt", "disco um/01 Canção.mp3", "vazio/"]
    assert [(one.number, one.place.path.name) for one in whole.members] == [(0, "capa.txt"), (1, "01 Canção.mp3")]
    assert (member.name, member.part_of) == ("01 Canção.mp3", whole.content_hash)
    assert member.words == ("01", "cancao", "disco", "um", "musica", "popular")  # own name, then folders upwards


def test_each_announces_every_member(folder: Path, catalogue: Catalogue) -> None:
    names = [item.name for item in intake(catalogue, each=True).path(folder).items]
    assert names == ["Música Popular", "capa.txt", "01 Canção.mp3"]


def test_what_is_known_is_not_read_again(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    first = intake(catalogue).path(path)
    catalogue.add(first.items)
    path.chmod(0)  # root reads it all the same, so what shows is the descriptor's survival of other bytes
    status = path.stat()
    path.chmod(0o600)
    path.write_bytes(b"y" * 100)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert intake(catalogue).path(path).item.content_hash == first.item.content_hash
    os.utime(path)
    assert intake(catalogue).path(path).item.content_hash != first.item.content_hash


def test_a_name_can_be_given(folder: Path, catalogue: Catalogue) -> None:
    assert intake(catalogue, name="Brazil").path(folder).item.name == "Brazil"


@pytest.mark.parametrize(("given", "name"), [("n" * 300, "n" * 255), ("../x\x1b[2J", ".._x_[2J")])
def test_a_given_name_is_made_fit_for_a_record(folder: Path, catalogue: Catalogue, given: str, name: str) -> None:
    assert intake(catalogue, name=given).path(folder).item.name == name


def test_a_home_folder_needs_a_name(tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "jane"
    home.mkdir()
    (home / "diary.txt").write_text("dear")
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(UsageError, match="--name"):
        intake(catalogue).path(home)
    assert intake(catalogue, name="texts").path(home).item.name == "texts"


def test_nothing_special_is_published(tmp_path: Path, catalogue: Catalogue) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "missing", tmp_path / "pipe", tmp_path / "empty", tmp_path / "pipe" / "below"):
        error = intake(catalogue).try_path(path)
        assert isinstance(error, UsageError), path


def test_an_unreadable_file_is_a_disk_error(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")

    def refuse(*_: object, **__: object) -> int:  # root reads whatever the mode says
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dhtshare.content.hasher.os.open", refuse)
    assert isinstance(intake(catalogue).try_path(path), DiskError)


def test_an_interruption_is_no_outcome(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    stopped = intake(catalogue)
    stopped.cancel()
    with pytest.raises(InterruptedByUserError):
        stopped.try_path(path)


def test_progress_counts_every_byte(folder: Path, catalogue: Catalogue) -> None:
    told = Told()
    intake(catalogue, progress=told).path(folder)
    assert sum(told.hashed) == ANNOUNCED_MEMBER_BYTES + len(b"capa")


def make(root: Path, *paths: str) -> None:
    """Files that hold their own path."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def test_a_folder_is_described_by_what_is_in_it(tmp_path: Path, catalogue: Catalogue) -> None:
    root = tmp_path / "shared"
    make(root, "a/one", "two", "12:30")
    (root / "two").chmod(0o711)
    (root / "zero").touch()
    (root / "none").mkdir()
    one, two, clock, zero = (hash_file(root / path).content_hash for path in ("a/one", "two", "12:30", "zero"))
    descriptor = decode(intake(catalogue).path(root).item.descriptor)
    assert isinstance(descriptor, CollectionDescriptor)
    assert descriptor.entries == (
        CollectionEntry("12_30", 5, clock),
        CollectionEntry("a/one", 5, one),
        CollectionEntry("none/"),
        CollectionEntry("two", 3, two, executable=True),
        CollectionEntry("zero", 0, zero),
    )


def test_the_same_folder_elsewhere_is_the_same_content(tmp_path: Path, catalogue: Catalogue) -> None:
    for root in ("here", "there"):
        make(tmp_path / root, *(["a", "b/c"] if root == "here" else ["b/c", "a"]))
    here, there = (intake(catalogue).path(tmp_path / root).item.content_hash for root in ("here", "there"))
    assert here == there


@pytest.mark.parametrize("names", [("readme", "README"), ("a:b", "a_b"), ("A/x", "a/y")])
def test_names_that_collide_are_refused_with_both(tmp_path: Path, catalogue: Catalogue, names: tuple[str, str]) -> None:
    make(tmp_path / "shared", *names)
    if len(list((tmp_path / "shared").iterdir())) < 2:
        pytest.skip("this file system does not tell the names apart")
    with pytest.raises(MalformedError, match=r"side by side|twice"):
        intake(catalogue).path(tmp_path / "shared")


def scanned_before(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Something happens between the look into a folder and the hashing."""

    def scan(path: Path) -> FolderScan:
        found = scan_folder(path)
        change()
        return found

    monkeypatch.setattr("dhtshare.intake.scan_folder", scan)


def test_a_file_that_vanishes_before_it_is_hashed(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "shared", "a", "b")
    scanned_before(monkeypatch, (tmp_path / "shared" / "b").unlink)
    assert isinstance(intake(catalogue).try_path(tmp_path / "shared"), DiskError)


def test_a_file_that_becomes_a_link_is_not_followed(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a secret outside of the folder would be shared."""
    make(tmp_path, "shared/a", "secret")

    def swap() -> None:
        (tmp_path / "shared" / "a").unlink()
        (tmp_path / "shared" / "a").symlink_to("../secret")

    scanned_before(monkeypatch, swap)
    assert isinstance(intake(catalogue).try_path(tmp_path / "shared"), DiskError)


def test_a_folder_that_becomes_a_link_is_not_followed(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the hash of a secret outside of the folder would be told."""
    make(tmp_path, "shared/sub/a", "elsewhere/a")

    def swap() -> None:
        (tmp_path / "shared" / "sub").rename(tmp_path / "gone")
        (tmp_path / "shared" / "sub").symlink_to("../elsewhere")

    scanned_before(monkeypatch, swap)
    error = intake(catalogue).try_path(tmp_path / "shared")
    assert isinstance(error, UsageError)
    assert "shared/sub/a" in str(error)


def test_a_link_named_by_the_user_is_the_file_that_it_leads_to(tmp_path: Path, catalogue: Catalogue) -> None:
    make(tmp_path, "file")
    (tmp_path / "link").symlink_to("file")
    item = intake(catalogue).path(tmp_path / "link").item
    assert (item.name, item.size) == ("link", 4)


def test_an_unsafe_name_is_made_safe(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "a\u202eb:c\n.txt"
    path.write_bytes(b"x")
    assert intake(catalogue).path(path).item.name == "ab_c_.txt"


def test_errors_are_ours(tmp_path: Path, catalogue: Catalogue) -> None:
    assert isinstance(intake(catalogue).try_path(tmp_path / ("x" * 300)), DhtshareError)
