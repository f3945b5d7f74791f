"""The watched folder: a file is shared once it has rested, and withdrawn once it is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from dhtshare.library.records import State, StoredPlace
from dhtshare.library.settling import REST_SECONDS, RETRY_SECONDS, Decisions, Settling
from dhtshare.library.watch import scan_shared, watch
from tests.unit.library.library_fakes import write

A, B = Path("/s/a"), Path("/s/b")


def test_a_file_is_taken_once_it_has_rested() -> None:
    settling = Settling()
    assert settling.scanned({A: (1, 1)}, 0.0) == Decisions([], [])
    assert settling.scanned({A: (1, 1)}, REST_SECONDS - 0.1) == Decisions([], [])
    assert settling.scanned({A: (1, 1)}, REST_SECONDS) == Decisions([A], [])
    assert settling.scanned({A: (1, 1)}, REST_SECONDS + 9) == Decisions([], [])


def test_a_file_that_grows_starts_to_rest_anew() -> None:
    settling = Settling()
    for now in range(5):
        assert settling.scanned({A: (now, now)}, float(now)).take == []
    assert settling.scanned({A: (4, 4)}, 4 + REST_SECONDS).take == [A]


def test_a_changed_file_is_taken_again() -> None:
    settling = Settling([(A, (1, 1))])
    assert settling.scanned({A: (1, 1)}, 0.0) == Decisions([], [])
    assert settling.scanned({A: (2, 2)}, 1.0) == Decisions([], [])
    assert settling.scanned({A: (2, 2)}, 1 + REST_SECONDS) == Decisions([A], [])


def test_a_deleted_file_is_dropped_once_and_one_that_never_rested_not_at_all() -> None:
    settling = Settling([(A, (1, 1))])
    settling.scanned({A: (1, 1), B: (1, 1)}, 0.0)
    assert settling.scanned({}, 1.0) == Decisions([], [A])
    assert settling.scanned({}, 2.0) == Decisions([], [])


def test_a_deleted_file_that_comes_back_has_to_rest() -> None:
    settling = Settling([(A, (1, 1))])
    settling.scanned({}, 0.0)
    assert settling.scanned({A: (1, 1)}, 1.0) == Decisions([], [])
    assert settling.scanned({A: (1, 1)}, 1 + REST_SECONDS) == Decisions([A], [])


def test_what_could_not_be_published_is_tried_again_later() -> None:
    settling = Settling()
    settling.scanned({A: (1, 1)}, 0.0)
    settling.scanned({A: (1, 1)}, 2.0)
    settling.failed(A, 2.0)
    assert settling.scanned({A: (1, 1)}, 2 + RETRY_SECONDS - 1).take == []
    assert settling.scanned({A: (1, 1)}, 2 + RETRY_SECONDS).take == [A]


def test_what_could_not_be_published_is_tried_again_when_it_changes() -> None:
    settling = Settling()
    settling.scanned({A: (1, 1)}, 0.0)
    settling.scanned({A: (1, 1)}, 2.0)
    settling.failed(A, 2.0)
    settling.scanned({A: (2, 2)}, 3.0)
    assert settling.scanned({A: (2, 2)}, 3 + REST_SECONDS).take == [A]


def test_dot_files_links_and_special_files_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "film", b"123")
    write(tmp_path / "deep" / "er" / "song", b"12")
    write(tmp_path / ".hidden", b"")
    write(tmp_path / ".git" / "config", b"")
    (tmp_path / "link").symlink_to(tmp_path / "film")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    found = scan_shared(tmp_path)
    assert {path: size for path, (size, _) in found.items()} == {
        tmp_path / "film": 3,
        tmp_path / "deep" / "er" / "song": 2,
    }


class Publisher:
    """Notes what it is told to take and drop; `refused` could not be published."""

    def __init__(self, refused: Iterable[Path] = ()) -> None:
        self.refused = set(refused)
        self.taken: list[Path] = []
        self.dropped: list[Path] = []
        self.told = asyncio.Event()

    async def take(self, paths: list[Path]) -> list[Path]:
        self.taken += paths
        self.told.set()
        return [path for path in paths if path in self.refused]

    async def drop(self, paths: list[Path]) -> None:
        self.dropped += paths
        self.told.set()

    async def next(self) -> None:
        await asyncio.wait_for(self.told.wait(), 20)
        self.told.clear()


async def test_a_running_watch_takes_and_drops(tmp_path: Path) -> None:
    known = write(tmp_path / "known", b"1")
    status = known.stat()
    place = StoredPlace(known, 1, status.st_mtime_ns, b"h" * 32, State.SHARED)
    elsewhere = StoredPlace(Path("/elsewhere"), 1, 1, b"h" * 32, State.SHARED)
    publisher = Publisher()
    watching = asyncio.create_task(watch(tmp_path, [place, elsewhere], publisher.take, publisher.drop, interval=0.01))
    try:
        fresh = write(tmp_path / "fresh", b"2")
        await publisher.next()
        assert (publisher.taken, publisher.dropped) == ([fresh], [])
        known.unlink()
        await publisher.next()
        assert publisher.dropped == [known]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_an_unplugged_disk_withdraws_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    known = write(folder / "known", b"1")
    place = StoredPlace(known, 1, known.stat().st_mtime_ns, b"h" * 32, State.SHARED)
    folder.rename(tmp_path / "unplugged")
    publisher = Publisher()
    watching = asyncio.create_task(watch(folder, [place], publisher.take, publisher.drop, interval=0.01))
    try:
        for _ in range(20):
            await asyncio.to_thread(lambda: None)
        (tmp_path / "unplugged").rename(folder)
        write(folder / "fresh", b"2")
        await publisher.next()
        assert publisher.dropped == []
        assert publisher.taken == [folder / "fresh"]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
