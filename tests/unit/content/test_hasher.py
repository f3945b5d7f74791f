"""Hashing real files: sizes with a reason each, and files that change, shrink, vanish or refuse meanwhile."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from dhtshare.content import hasher
from dhtshare.content.chunks import MAX_FILE_SIZE
from dhtshare.content.descriptor import EMPTY_FILE_HASH, FileDescriptor
from dhtshare.content.hasher import BATCH_BYTES, hash_file, hash_file_state
from dhtshare.errors import DiskError, InterruptedByUserError, MalformedError, UsageError

MIB = 1 << 20


def bytes_of(size: int) -> bytes:
    """Bytes of which no two mebibytes are equal."""
    return b"".join(blake3(number.to_bytes(4)).digest(length=MIB) for number in range(size // MIB + 1))[:size]


def write(path: Path, size: int) -> bytes:
    data = bytes_of(size)
    path.write_bytes(data)
    return data


def one_by_one(data: bytes) -> FileDescriptor:
    """The descriptor as the design says it, without any of the hasher's cleverness."""
    hashes = [blake3(data[start : start + MIB]).digest() for start in range(0, len(data), MIB)]
    return FileDescriptor(len(data), b"".join(hashes))


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        MIB - 1,
        MIB,  # one chunk exactly
        MIB + 1,
        BATCH_BYTES,  # one batch exactly
        BATCH_BYTES + 1,
        3 * BATCH_BYTES + 5 * MIB + 7,  # several threads, a short last batch, a short last chunk
    ],
)
def test_the_descriptor_of_a_file(tmp_path: Path, size: int, threads: int | None) -> None:
    data = write(tmp_path / "f", size)
    assert hash_file(tmp_path / "f", threads=threads) == one_by_one(data)


def test_with_no_thread_to_be_had_it_is_hashed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    path = tmp_path / "file"
    path.write_bytes(bytes(3 * BATCH_BYTES))
    expected = hash_file(path, threads=1)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert hash_file(path, threads=3) == expected


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert hash_file(str(tmp_path / "f")).content_hash == EMPTY_FILE_HASH


def test_chunks_larger_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "f", 5 * MIB + 3)
    monkeypatch.setattr(hasher, "PIECE_BYTES", 300_000)  # no divisor of a chunk: the last piece is short
    assert hash_file(tmp_path / "f") == one_by_one(data)


def test_a_sparse_file_of_more_than_64_gib_is_cut_into_larger_chunks(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate((64 << 30) + 1)
    asked = iter([False, False, True])
    # Only that it starts: 64 GiB of zeros are too many for a test.
    with pytest.raises(InterruptedByUserError):
        hash_file(path, threads=1, cancelled=lambda: next(asked))


def test_a_file_over_1_tib_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        try:
            file.truncate(MAX_FILE_SIZE + 1)
        except OSError:
            pytest.skip("this file system has no sparse files of that size")
    with pytest.raises(MalformedError, match="1 TiB"):
        hash_file(path)


def test_the_state_that_was_hashed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, 10)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    path.chmod(0o700)
    state = hash_file_state(path)
    assert state.mtime_ns == path.stat().st_mtime_ns
    assert state.executable
    assert state.descriptor == hash_file(path)
    path.chmod(0o600)
    assert not hash_file_state(path).executable


def test_progress_tells_every_byte_once_and_never_two_at_a_time(tmp_path: Path) -> None:
    size = 3 * BATCH_BYTES + 7
    write(tmp_path / "f", size)
    told: list[int] = []
    inside = threading.Lock()

    def progress(count: int) -> None:
        assert inside.acquire(blocking=False)
        told.append(count)
        inside.release()

    hash_file(tmp_path / "f", progress=progress, threads=3)
    assert sum(told) == size
    assert max(told) == MIB


@pytest.mark.parametrize("threads", [1, 3])
def test_cancelling_stops_soon(tmp_path: Path, threads: int) -> None:
    write(tmp_path / "f", 4 * BATCH_BYTES)
    told: list[int] = []
    with pytest.raises(InterruptedByUserError):
        hash_file(tmp_path / "f", progress=told.append, threads=threads, cancelled=lambda: len(told) >= 2)
    assert sum(told) <= (2 + threads) * MIB
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dhtshare-hash")]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_progress_callback_is_not_swallowed(tmp_path: Path, threads: int) -> None:
    write(tmp_path / "f", 2 * BATCH_BYTES)

    def broken(count: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hash_file(tmp_path / "f", progress=broken, threads=threads)


def test_a_file_that_grows_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, 2 * MIB)

    def grow(count: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(DiskError, match="changed while"):
        hash_file(path, progress=grow)


def test_a_file_that_is_cut_short_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, 20 * MIB)
    with pytest.raises(DiskError, match="changed while"):
        hash_file(path, progress=lambda count: os.truncate(path, MIB), threads=2)


def test_a_file_that_is_rewritten_in_place_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, 2 * MIB)

    def rewrite(count: int) -> None:
        path.write_bytes(bytes(2 * MIB))
        os.utime(path, ns=(0, 12_345))

    with pytest.raises(DiskError, match="changed while"):
        hash_file(path, progress=rewrite)


def test_a_file_that_is_replaced_meanwhile(tmp_path: Path) -> None:
    path, other = tmp_path / "f", tmp_path / "g"
    write(path, MIB)
    write(other, MIB)
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time, another file
    with pytest.raises(DiskError, match="changed while"):
        hash_file(path, progress=lambda count: other.replace(path) and None)


def test_a_file_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, MIB)
    with pytest.raises(DiskError):
        hash_file(path, progress=lambda count: path.unlink())


def test_a_read_error_of_any_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "f", 3 * BATCH_BYTES)
    read = os.preadv

    def failing(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        if offset >= BATCH_BYTES:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(DiskError, match="Input/output error"):
        hash_file(tmp_path / "f", threads=2)


def test_reads_that_give_less_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "f", MIB + 77)
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: read(fd, [buffers[0][:99_999]], offset))
    assert hash_file(tmp_path / "f") == one_by_one(data)


def test_nothing_is_left_open(tmp_path: Path) -> None:
    write(tmp_path / "f", MIB)
    lowest = os.dup(0)
    os.close(lowest)
    hash_file(tmp_path / "f")
    with pytest.raises(UsageError):
        hash_file(tmp_path)
    again = os.dup(0)
    os.close(again)
    assert again == lowest


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        hash_file(tmp_path / "missing")
    (tmp_path / "f").touch()
    with pytest.raises(UsageError, match="no file"):
        hash_file(tmp_path / "f" / "below")
    with pytest.raises(UsageError, match="not a regular file"):
        hash_file(tmp_path)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        hash_file(tmp_path / "pipe")


def test_symbolic_links_are_followed_only_where_told(tmp_path: Path) -> None:
    write(tmp_path / "f", 10)
    (tmp_path / "link").symlink_to("f")
    assert hash_file(tmp_path / "link") == hash_file(tmp_path / "f")
    with pytest.raises(DiskError, match="link"):
        hash_file_state(tmp_path / "link", follow_symlink=False)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(DiskError, match=r"Cannot read .*f: Permission denied"):
        hash_file(tmp_path / "f")
