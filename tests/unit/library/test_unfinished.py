"""One file on its way to the disk: nothing but dot names until it is whole, and nothing lost in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dhtshare.content.layout import Layout
from dhtshare.errors import DiskError, InterruptedByUserError, LocalProtocolError, UsageError
from dhtshare.library.records import Kind
from dhtshare.library.unfinished import IfExists, Unfinished
from tests.unit.library.library_fakes import MIB, describe, noise, write

DATA = noise(2 * MIB + 5)  # three chunks, the last of five bytes
LAYOUT = Layout.of(describe(DATA))


def begin(directory: Path, **options: object) -> Unfinished:
    return Unfinished.open(directory, "film.mkv", LAYOUT, kind=Kind.FILE, **options)  # type: ignore[arg-type]


def chunk(index: int) -> bytes:
    return DATA[index * MIB : (index + 1) * MIB]


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_chunks_in_any_order_become_the_file(tmp_path: Path) -> None:
    fetch = begin(tmp_path / "new" / "folder")
    for index in (2, 0, 1):
        assert index not in fetch.have
        fetch.store(index, memoryview(bytearray(chunk(index))))
        assert index in fetch.have
        assert all(name.startswith(".") for name in names(tmp_path / "new" / "folder"))
    assert fetch.complete
    assert fetch.finish() == fetch.path == tmp_path / "new" / "folder" / "film.mkv"
    fetch.close()
    assert fetch.path.read_bytes() == DATA
    assert names(fetch.path.parent) == ["film.mkv"]
    assert (fetch.resumed, fetch.reused) == (0, 0)
    ((number, place),) = fetch.finished_places()
    assert (number, place.size, place.path) == (0, len(DATA), fetch.path)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1], ids=["empty", "one", "below", "chunk", "above"])
def test_files_around_a_chunk(tmp_path: Path, size: int) -> None:
    data = noise(size)
    layout = Layout.of(describe(data))
    fetch = Unfinished.open(tmp_path, "f", layout, kind=Kind.FILE)
    for index in fetch.missing():
        fetch.store(index, data[index * MIB : (index + 1) * MIB])
    fetch.finish()
    fetch.close()
    assert (tmp_path / "f").read_bytes() == data
    assert names(tmp_path) == ["f"]


def test_a_later_run_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    first = begin(tmp_path)
    first.store(1, chunk(1))
    first.store(2, chunk(2))
    first.close()
    second = begin(tmp_path)
    assert second.resumed == MIB + 5
    assert list(second.missing()) == [0]
    second.store(0, chunk(0))
    assert second.finish().read_bytes() == DATA
    second.close()


def test_no_part_stays_where_nothing_was_verified(tmp_path: Path) -> None:
    begin(tmp_path).close()
    assert names(tmp_path) == []


def test_giving_up_leaves_nothing(tmp_path: Path) -> None:
    fetch = begin(tmp_path)
    fetch.store(0, chunk(0))
    fetch.discard()
    assert names(tmp_path) == []


def test_after_a_reboot_every_claim_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begin(tmp_path)
    for index in range(3):
        first.store(index, chunk(index))
    first.close()
    with first.part.open("r+b") as file:  # what the power cut left of chunk 1: zeros
        file.seek(MIB)
        file.write(bytes(4096))
    monkeypatch.setattr("dhtshare.library.resume.boot_tag", lambda: b"another boot 000")
    read: list[int] = []
    second = begin(tmp_path, progress=read.append)
    assert list(second.missing()) == [1]
    assert sum(read) == len(DATA)
    second.close()


def test_under_the_same_boot_nothing_is_hashed(tmp_path: Path) -> None:
    first = begin(tmp_path)
    first.store(0, chunk(0))
    first.close()
    read: list[int] = []
    second = begin(tmp_path, progress=read.append)
    assert second.resumed == MIB
    assert read == []
    second.close()


def test_claims_about_a_part_that_is_gone_or_cut_are_not_believed(tmp_path: Path) -> None:
    first = begin(tmp_path)
    for index in range(3):
        first.store(index, chunk(index))
    first.close()
    os.truncate(first.part, MIB)
    second = begin(tmp_path)
    assert list(second.missing()) == [1, 2]
    second.close()
    second.part.unlink()
    third = begin(tmp_path)
    assert list(third.missing()) == [0, 1, 2]
    third.close()


def test_a_part_longer_than_the_file_is_cut(tmp_path: Path) -> None:
    write(tmp_path / ".film.mkv.dhtshare-part", noise(4 * MIB, "old"))
    fetch = begin(tmp_path)
    for index in range(3):
        fetch.store(index, chunk(index))
    assert fetch.finish().read_bytes() == DATA
    fetch.close()


def test_a_full_part_without_claims_is_written_over_in_place(tmp_path: Path) -> None:
    part = write(tmp_path / ".film.mkv.dhtshare-part", noise(len(DATA), "old"))
    inode = part.stat().st_ino
    fetch = begin(tmp_path)
    assert list(fetch.missing()) == [0, 1, 2]
    for index in range(3):
        fetch.store(index, chunk(index))
    assert fetch.finish().stat().st_ino == inode
    assert fetch.path.read_bytes() == DATA
    fetch.close()


def test_the_same_bytes_at_the_target_are_all_there_is_to_do(tmp_path: Path) -> None:
    write(tmp_path / "film.mkv", DATA)
    fetch = begin(tmp_path)
    assert fetch.complete
    assert fetch.reused == len(DATA)
    assert fetch.finish() == tmp_path / "film.mkv"
    fetch.close()
    assert names(tmp_path) == ["film.mkv"]


def test_same_bytes_in_a_folder_that_cannot_be_written_are_enough(tmp_path: Path) -> None:
    write(tmp_path / "film.mkv", DATA)
    tmp_path.chmod(0o500)
    try:
        fetch = begin(tmp_path)
        assert fetch.finish() == tmp_path / "film.mkv"
        fetch.close()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("other", [b"other", noise(len(DATA), "other")], ids=["other size", "same size"])
def test_other_bytes_at_the_target_are_never_touched(tmp_path: Path, other: bytes) -> None:
    write(tmp_path / "film.mkv", other)
    with pytest.raises(UsageError, match=r"film\.mkv exists already.*--overwrite"):
        begin(tmp_path)
    assert (tmp_path / "film.mkv").read_bytes() == other
    assert names(tmp_path) == ["film.mkv"]


def test_overwrite_reuses_what_is_right_and_replaces_at_the_end(tmp_path: Path) -> None:
    other = chunk(0) + noise(MIB, "wrong") + chunk(2)
    write(tmp_path / "film.mkv", other)
    fetch = begin(tmp_path, exists=IfExists.OVERWRITE)
    assert list(fetch.missing()) == [1]
    assert fetch.reused == MIB + 5
    assert (tmp_path / "film.mkv").read_bytes() == other
    fetch.store(1, chunk(1))
    fetch.finish()
    fetch.close()
    assert (tmp_path / "film.mkv").read_bytes() == DATA
    assert names(tmp_path) == ["film.mkv"]


def test_rename_takes_the_first_free_number(tmp_path: Path) -> None:
    for name in ("film.mkv", "film (1).mkv"):
        write(tmp_path / name, b"other")
    fetch = begin(tmp_path, exists=IfExists.RENAME)
    for index in range(3):
        fetch.store(index, chunk(index))
    assert fetch.finish().name == "film (2).mkv"
    fetch.close()
    again = begin(tmp_path, exists=IfExists.RENAME)
    assert again.finish().name == "film (2).mkv", "the same bytes are found under the name they got"
    again.close()


def test_a_renamed_name_of_full_length_keeps_number_and_extension(tmp_path: Path) -> None:
    name = "ä" * 125 + ".mkv"
    write(tmp_path / name, b"other")
    fetch = Unfinished.open(tmp_path, name, LAYOUT, kind=Kind.FILE, exists=IfExists.RENAME)
    assert fetch.path.name.endswith(" (1).mkv")
    assert len(fetch.path.name.encode()) <= 255
    fetch.close()


def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    fetch = begin(tmp_path)
    for index in range(3):
        fetch.store(index, chunk(index))
    write(tmp_path / "film.mkv", b"appeared")
    with pytest.raises(UsageError, match="appeared meanwhile"):
        fetch.finish()
    fetch.close()
    assert (tmp_path / "film.mkv").read_bytes() == b"appeared"
    again = begin(tmp_path, exists=IfExists.OVERWRITE)
    assert again.complete, "and what was verified is still there"
    again.finish()
    again.close()


@pytest.mark.parametrize("exists", [IfExists.REFUSE, IfExists.OVERWRITE])
def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path, exists: IfExists) -> None:
    (tmp_path / "film.mkv").mkdir()
    with pytest.raises(UsageError):
        begin(tmp_path, exists=exists)


def test_a_link_at_the_target_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = write(tmp_path / "victim", b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "film.mkv").symlink_to(victim)
    with pytest.raises(UsageError):
        begin(tmp_path / "out")
    fetch = begin(tmp_path / "out", exists=IfExists.OVERWRITE)
    for index in range(3):
        fetch.store(index, chunk(index))
    assert not fetch.finish().is_symlink()
    fetch.close()
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("planted", [".film.mkv.dhtshare-part", ".film.mkv.have..dhtshare-part"])
def test_a_planted_link_is_not_written_through(tmp_path: Path, planted: str) -> None:
    victim = write(tmp_path / "victim", b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / planted).symlink_to(victim)
    with pytest.raises(DiskError):
        fetch = begin(tmp_path / "out")
        try:
            fetch.store(0, chunk(0))
        finally:
            fetch.close()
    assert victim.read_bytes() == b"precious"


def test_two_at_the_same_fetch_are_one_too_many(tmp_path: Path) -> None:
    first = begin(tmp_path)
    with pytest.raises(UsageError, match="being fetched"):
        begin(tmp_path)
    first.store(0, chunk(0))
    first.close()
    second = begin(tmp_path)
    assert second.resumed == MIB
    second.close()


def test_another_content_of_the_same_name_keeps_its_part(tmp_path: Path) -> None:
    first = begin(tmp_path)
    first.store(0, chunk(0))
    first.close()
    other = noise(MIB, "other")
    second = Unfinished.open(tmp_path, "film.mkv", Layout.of(describe(other)), kind=Kind.FILE)
    second.store(0, other)
    second.finish()
    second.close()
    (tmp_path / "film.mkv").unlink()
    third = begin(tmp_path)
    assert third.resumed == MIB
    third.close()


def test_finishing_before_the_end_is_our_own_fault(tmp_path: Path) -> None:
    fetch = begin(tmp_path)
    with pytest.raises(LocalProtocolError):
        fetch.finish()
    with pytest.raises(LocalProtocolError):
        fetch.store(0, b"short")
    fetch.close()


def test_a_closed_fetch_writes_no_more(tmp_path: Path) -> None:
    fetch = begin(tmp_path)
    fetch.store(0, chunk(0))
    fetch.close()
    fetch.close()
    with pytest.raises(DiskError, match="ended"):
        fetch.store(1, chunk(1))
    with pytest.raises(DiskError, match="ended"):
        fetch.open_chunk(0)


def test_verified_chunks_can_be_read_during_and_after(tmp_path: Path) -> None:
    fetch = begin(tmp_path)
    with pytest.raises(DiskError, match="not here yet"):
        fetch.open_chunk(1)
    for index in range(3):
        fetch.store(index, chunk(index))
    for _ in range(2):
        fd, offset, length = fetch.open_chunk(1)
        assert os.pread(fd, length, offset) == chunk(1)
        os.close(fd)
        fetch.finish()
    fetch.close()


def test_other_files_on_this_disk_are_adopted_chunk_by_chunk(tmp_path: Path) -> None:
    source = write(tmp_path / "source", chunk(0) + b"?" * MIB + chunk(2))
    fetch = begin(tmp_path / "out")
    assert fetch.adopt(source) == MIB + 5
    assert fetch.adopt(source) == 0
    assert fetch.adopt(tmp_path / "none") == 0
    assert fetch.reused == MIB + 5
    assert list(fetch.missing()) == [1]
    fetch.close()


def test_a_link_is_not_adopted(tmp_path: Path) -> None:
    source = write(tmp_path / "source", DATA)
    (tmp_path / "link").symlink_to(source)
    fetch = begin(tmp_path / "out")
    assert fetch.adopt(tmp_path / "link") == 0
    fetch.close()


def test_hashing_stops_when_told(tmp_path: Path) -> None:
    write(tmp_path / "film.mkv", DATA)
    with pytest.raises(InterruptedByUserError):
        begin(tmp_path, cancelled=lambda: True)
    assert names(tmp_path) == ["film.mkv"]


def test_a_descriptor_is_not_left_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    before = count()
    fetch = begin(tmp_path)
    for index in range(3):
        fetch.store(index, chunk(index))
    fetch.finish()
    fetch.close()
    begin(tmp_path).close()
    write(tmp_path / "film.mkv", b"other")
    with pytest.raises(UsageError):
        begin(tmp_path)
    assert count() == before


def test_a_huge_file_takes_no_more_room_than_what_is_verified(tmp_path: Path) -> None:
    size = 40 << 30
    layout = Layout.of(type(describe(b""))(size, bytes(32 * (size // MIB))))
    try:
        fetch = Unfinished.open(tmp_path, "huge", layout, kind=Kind.FILE)
    except DiskError:
        pytest.skip("this disk has no 40 GiB free")
    fetch.store(30_000, bytes(MIB))
    assert fetch.part.stat().st_blocks * 512 <= 2 * MIB
    fetch.discard()


def test_more_than_the_disk_has_free_is_refused_before_a_byte(tmp_path: Path) -> None:
    size = 1 << 40
    layout = Layout.of(type(describe(b""))(size, bytes(32 * 65_536)))
    with pytest.raises(DiskError, match=r"1,048,576\.0 MiB more are needed and .* MiB are free"):
        Unfinished.open(tmp_path, "huge", layout, kind=Kind.FILE)
    assert names(tmp_path) == []
