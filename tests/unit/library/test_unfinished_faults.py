"""A disk that fails at any one call: never a finished name for bytes that are not there, and a rerun that resumes."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dhtshare.errors import DhtshareError, DiskError, LocalProtocolError
from dhtshare.library.ledger import Ledger
from dhtshare.library.records import Kind
from dhtshare.library.unfinished import IfExists, Unfinished
from tests.unit.library.library_fakes import MIB, chunk_of, folder_layout, noise, write

FILES = {"a": noise(100, "a"), "b/big": noise(2 * MIB + 1, "b"), "b/empty": b"", "c/": b""}
CALLS = ("pwrite", "fsync", "link", "rename", "ftruncate", "unlink", "write", "open", "mkdir")


class FailingDisk:
    """Counts the calls of one kind and lets the n-th fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: int) -> None:
        self.calls = 0
        self.fails_at = number
        real: Callable[..., object] = getattr(os, call)

        def counted(*args: object, **kwargs: object) -> object:
            self.calls += 1
            if self.calls == self.fails_at:
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        monkeypatch.setattr(os, call, counted)


def run(directory: Path, exists: IfExists = IfExists.REFUSE) -> Path:
    """One whole fetch of the collection, as a command would do it."""
    layout = folder_layout(FILES)
    fetch = Unfinished.open(directory, "album", layout, kind=Kind.COLLECTION, exists=exists)
    try:
        for index in list(fetch.missing()):
            fetch.store(index, chunk_of(layout, FILES, index))
        return fetch.finish()
    finally:
        fetch.close()


def is_right(root: Path) -> bool:
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return files == {name: data for name, data in FILES.items() if not name.endswith("/")} and (root / "c").is_dir()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("merge", [False, True], ids=["whole", "merged"])
def test_any_one_failing_call_is_told_and_the_rerun_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, merge: bool
) -> None:
    for number in range(1, 200):
        directory = tmp_path / str(number)
        if merge:
            write(directory / "album" / "mine", b"mine").unlink()
        with monkeypatch.context() as patch:
            disk = FailingDisk(patch, call, number, code)
            try:
                run(directory)
                told = False
            except DhtshareError as error:
                told = True
                assert isinstance(error, DiskError), error
        if not told:
            assert is_right(directory / "album"), f"{call} {number} failed silently"
        assert is_right(run(directory))
        if disk.calls < number:
            break  # that many calls are not made: all of them were tried
        shutil.rmtree(directory)
    else:
        pytest.fail("more calls than expected")


def test_what_fsync_refused_counts_as_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    for index in range(layout.chunk_count):
        fetch.store(index, chunk_of(layout, FILES, index))
    with monkeypatch.context() as patch:
        FailingDisk(patch, "fsync", 1, errno.EIO)
        with pytest.raises(DiskError):
            fetch.finish()
    assert not fetch.complete, "the kernel drops the pages of a failed fsync and calls them clean"
    with pytest.raises(LocalProtocolError):
        fetch.finish()
    fetch.close()


def test_what_fsync_refused_is_written_again_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of a failed fsync read well and are clean: only a new write brings them to the disk."""
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    for index in range(layout.chunk_count):
        fetch.store(index, chunk_of(layout, FILES, index))
    with monkeypatch.context() as patch:
        FailingDisk(patch, "fsync", 1, errno.EIO)
        with pytest.raises(DiskError):
            fetch.finish()
    fetch.close()
    real, written = os.pwrite, 0

    def counted(fd: int, data: memoryview, offset: int) -> int:
        nonlocal written
        written += len(data)
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    again = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    whole = {index for index in range(layout.chunk_count) if not layout.needs_descriptor(layout.slot(index).file)}
    assert whole
    assert set(again.missing()) == set(range(layout.chunk_count)) - whole, "nothing that can be hashed is fetched again"
    assert written >= sum(layout.slot(index).length for index in whole)
    for index in list(again.missing()):
        again.store(index, chunk_of(layout, FILES, index))
    assert is_right(again.finish())
    again.close()


def test_what_fsync_refused_and_rotted_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    for index in range(layout.chunk_count):
        fetch.store(index, chunk_of(layout, FILES, index))
    with monkeypatch.context() as patch:
        FailingDisk(patch, "fsync", 1, errno.EIO)
        with pytest.raises(DiskError):
            fetch.finish()
    fetch.close()
    for path in (path for path in fetch.part.rglob("*") if path.is_file()):
        path.write_bytes(bytes(path.stat().st_size))  # what a reboot may show instead
    again = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    assert set(again.missing()) == set(range(layout.chunk_count))
    again.close()


@pytest.mark.parametrize("where", ["lacking", "outside", "settle"])
def test_without_memory_the_lock_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Else the same could not be fetched to the same place again as long as the node lives."""
    layout = folder_layout(FILES)

    def begin() -> Unfinished:
        return Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)

    def refused(*_: object) -> object:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, where, refused)
        with pytest.raises(MemoryError):
            begin().close()
    begin().close()


def test_a_chunk_that_could_not_be_noted_is_noted_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    index = next(fetch.missing())
    with monkeypatch.context() as patch, pytest.raises(DiskError):
        disk = FailingDisk(patch, "pwrite", 2, errno.ENOSPC)  # the first is the chunk's
        fetch.store(index, chunk_of(layout, FILES, index))
    assert disk.calls == 2
    fetch.close()
    again = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    assert index in again.have
    again.close()


def test_a_full_disk_costs_the_one_chunk_that_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    fetch.store(0, chunk_of(layout, FILES, 0))
    fetch.store(1, chunk_of(layout, FILES, 1))
    with monkeypatch.context() as patch:
        FailingDisk(patch, "pwrite", 1, errno.ENOSPC)
        with pytest.raises(DiskError, match="Free some space and run it again"):
            fetch.store(2, chunk_of(layout, FILES, 2))
    fetch.close()
    again = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    assert list(again.missing()) == [2, 3]
    again.close()


FETCH = """
import sys
from pathlib import Path
from dhtshare.library.records import Kind
from dhtshare.library.unfinished import Unfinished
from tests.unit.library.library_fakes import chunk_of, folder_layout
from tests.unit.library.test_unfinished_faults import FILES
layout = folder_layout(FILES)
files = None if sys.argv[2] == "whole" else frozenset({0, 1})
fetch = Unfinished.open(Path(sys.argv[1]), "album", layout, kind=Kind.COLLECTION, files=files)
print("resumed", fetch.resumed, flush=True)
for index in list(fetch.missing()):
    fetch.store(index, chunk_of(layout, FILES, index))
    print(index, flush=True)
fetch.finish()
fetch.close()
print("done", flush=True)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("mode", ["whole", "some"])
def test_the_order_of_system_calls(tmp_path: Path, mode: str) -> None:
    """Of the kernel's own record: bytes, then the name, then the folder that holds it, then the claims go."""
    log = tmp_path / "trace"
    out = tmp_path / "out"
    traced = "fsync,pwrite64,rename,renameat,renameat2,link,linkat,unlink,unlinkat"
    command = [
        "strace",
        "-f",
        "-y",
        "-o",
        str(log),
        "-e",
        f"trace={traced}",
        sys.executable,
        "-c",
        FETCH,
        str(out),
        mode,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("tracing is not allowed here")
    assert done.returncode == 0, done.stderr
    events: list[str] = []
    for line in log.read_text().splitlines():
        match = re.search(r"\b(fsync|pwrite64|rename\w*|link\w*|unlink\w*)\((.*)\) += 0|(pwrite64)\(\d+<([^>]*)>", line)
        if match is not None and str(out) in line:
            events.append(line.split(None, 1)[1])

    def last(pattern: str) -> int:
        found = [number for number, event in enumerate(events) if re.search(pattern, event)]
        assert found, f"no {pattern} in:\n" + "\n".join(events)
        return found[-1]

    written = last(r"^pwrite64.*/b/big>")
    synced = last(r"^fsync.*/b/big>")
    named = last(r"^(rename|link).*album\"" if mode == "whole" else r"^(rename|link).*\"big\"")
    folder = last(r"^fsync\(\d+<[^>]*/out>\)")
    forgotten = last(r"^unlink.*have\.\.dhtshare-part")
    assert written < synced < named < folder < forgotten
    inside = last(r"^fsync\(\d+<[^>]*/b>\)")
    assert inside < named if mode == "whole" else named < inside < forgotten


def test_kill_at_any_moment_costs_no_verified_chunk(tmp_path: Path) -> None:
    rng = random.Random(3)
    out = tmp_path / "out"
    stored = 0
    for _ in range(8):
        fetcher = subprocess.Popen([sys.executable, "-c", FETCH, str(out), "whole"], stdout=subprocess.PIPE, text=True)
        with fetcher:
            assert fetcher.stdout is not None
            resumed = int(fetcher.stdout.readline().split()[1])
            assert resumed >= stored
            stored = resumed
            for _ in range(rng.randrange(3)):
                line = fetcher.stdout.readline().strip()
                if line.isdigit():
                    stored += folder_layout(FILES).slot(int(line)).length
            fetcher.kill()
        if (out / "album").exists():
            break
    assert is_right(run(out))
    assert [entry.name for entry in out.iterdir()] == ["album"]
