"""A catalogue survives kills, and one that is torn is rebuilt from the journal and the files."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from dhtshare.errors import DiskError
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.journal import Journal
from dhtshare.library.records import Lost, State
from tests.unit.library.library_fakes import describe, file_item, folder_item, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "catalogue.db"


def fill(path: Path, tmp_path: Path) -> list[Path]:
    """A catalogue with two files, one of them withdrawn, and a folder."""
    files = [write(tmp_path / name, name.encode()) for name in ("kept", "withdrawn")]
    catalogue = Catalogue.open(path)
    catalogue.add([file_item(files[0], keywords=("k",), name="Kept"), file_item(files[1])])
    catalogue.add([folder_item(tmp_path / "folder", {"a": b"1"}, each=True)])
    catalogue.withdraw(describe(b"withdrawn").content_hash)
    catalogue.close()
    return files


def tear_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def tear_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(path.stat().st_size - 4096))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("tear", [tear_header, tear_pages, cut, remove])
def test_a_torn_catalogue_is_rebuilt_from_the_journal(path: Path, tmp_path: Path, tear: object) -> None:
    fill(path, tmp_path)
    tear(path)  # type: ignore[operator]
    catalogue = Catalogue.open(path)
    assert list(catalogue.items()) == []
    kept, folder = catalogue.lost
    assert kept == Lost(tmp_path / "kept", describe(b"kept").content_hash, "Kept", ("k",), False)
    assert (folder.path, folder.each) == (tmp_path / "folder", True)
    catalogue.close()


WAL_HEAD_BYTES, FRAME_HEAD_BYTES, PAGE_BYTES = 32, 24, 4096  # https://www.sqlite.org/fileformat2.html#walformat
FRAME_BYTES = FRAME_HEAD_BYTES + PAGE_BYTES


class PowerCut:
    """A catalogue whose power was cut while it was open: its files, and how much of the log each add had synced."""

    def __init__(self, folder: Path) -> None:
        home = folder / "running"
        home.mkdir()
        running = Catalogue.open(home / "catalogue.db")
        log = home / "catalogue.db-wal"
        self.synced = {}  # name of what was acknowledged -> bytes of the log that were on the disk by then
        for name in ("one", "two", "three"):
            running.add([file_item(write(folder / name, name.encode()))])
            self.synced[name] = log.stat().st_size
        self.files = {path.name: path.read_bytes() for path in home.iterdir() if not path.name.endswith("-shm")}
        running.close()
        self._home = folder / "home"

    @property
    def log(self) -> bytes:
        return self.files["catalogue.db-wal"]

    def shared_after(self, **torn: bytes) -> list[str]:
        """What the next start finds shared where these files (`log`, `main`) were left so."""
        for path in self._home.iterdir():
            path.unlink()
        names = {"catalogue.db-wal": "log", "catalogue.db": "main"}
        for name, whole in self.files.items():
            (self._home / name).write_bytes(torn.get(names.get(name, ""), whole))
        catalogue = Catalogue.open(self._home / "catalogue.db")
        try:
            assert catalogue.lost == (), "what no power cut can have torn is not suspected"
            return [item.name for item in catalogue.items()]
        finally:
            catalogue.close()


@pytest.fixture
def power_cut(path: Path, tmp_path: Path) -> PowerCut:
    return PowerCut(tmp_path)


def test_a_log_cut_anywhere_keeps_what_was_synced(power_cut: PowerCut) -> None:
    """In each head and page from the first acknowledged publish on, and around their bounds."""
    first = power_cut.synced["one"]
    frames = range(first, len(power_cut.log) + 1, FRAME_BYTES)
    inside = (0, 1, FRAME_HEAD_BYTES - 1, FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + 1000, FRAME_BYTES - 1)
    cuts = sorted({min(frame + at, len(power_cut.log)) for frame in frames for at in inside})
    assert cuts[0] == first
    assert cuts[-1] == len(power_cut.log)
    for cut_at in cuts:
        expected = [name for name, size in power_cut.synced.items() if size <= cut_at]
        assert power_cut.shared_after(log=power_cut.log[:cut_at]) == expected, cut_at


def test_a_last_transaction_of_which_any_page_is_missing_is_not_half_there(power_cut: PowerCut) -> None:
    """Before a sync the disk may have taken later pages and not earlier ones."""
    begins = power_cut.synced["two"]
    for frame in range(begins, power_cut.synced["three"], FRAME_BYTES):
        for lost in (slice(frame, frame + FRAME_HEAD_BYTES), slice(frame + FRAME_HEAD_BYTES, frame + FRAME_BYTES)):
            log = bytearray(power_cut.log)
            log[lost] = bytes(lost.stop - lost.start)
            if bytes(log) != power_cut.log:
                assert power_cut.shared_after(log=bytes(log)) == ["one", "two"], frame


def test_a_checkpoint_that_was_cut_off_anywhere_is_made_again(power_cut: PowerCut) -> None:
    """The log moves into the file page by page, and each may be torn: until that is synced the log stays."""
    frames = range(WAL_HEAD_BYTES, len(power_cut.log), FRAME_BYTES)
    moved = bytearray(power_cut.files["catalogue.db"])
    for frame in frames:
        page = int.from_bytes(power_cut.log[frame : frame + 4], "big")
        moved.extend(bytes(max(0, page * PAGE_BYTES - len(moved))))
        moved[(page - 1) * PAGE_BYTES : page * PAGE_BYTES] = power_cut.log[frame + FRAME_HEAD_BYTES :][:PAGE_BYTES]
    everything = ["one", "two", "three"]
    assert power_cut.shared_after(main=bytes(moved)) == everything
    for page in range(0, len(moved), PAGE_BYTES):
        torn = bytearray(moved)
        torn[page + 512 : page + PAGE_BYTES] = random.Random(page).randbytes(PAGE_BYTES - 512)
        assert power_cut.shared_after(main=bytes(torn)) == everything, page
        assert power_cut.shared_after(main=bytes(moved[: page + 512])) == everything, page


def test_what_was_lost_is_named_until_it_is_back(path: Path, tmp_path: Path) -> None:
    fill(path, tmp_path)
    tear_header(path)
    first = Catalogue.open(path)
    first.add([file_item(tmp_path / "kept")])  # and then the rebuilding is cut off
    first.close()
    second = Catalogue.open(path)
    assert [lost.path.name for lost in second.lost] == ["folder"]
    second.withdraw(second.lost[0].content_hash)  # it is gone for good
    second.close()
    third = Catalogue.open(path)
    assert third.lost == ()
    assert [item.name for item in third.items()] == ["kept"]
    third.close()


def test_the_torn_file_is_kept_aside(path: Path, tmp_path: Path) -> None:
    fill(path, tmp_path)
    tear_header(path)
    Catalogue.open(path).close()
    assert path.with_name("catalogue.db.torn").exists()


def test_damage_met_while_running_is_checked_at_the_next_start(path: Path, tmp_path: Path) -> None:
    fill(path, tmp_path)
    catalogue = Catalogue.open(path)
    tear_pages(path)
    with pytest.raises(DiskError, match="damaged"):
        list(catalogue.items(members=True))
        list(catalogue.places())
    assert path.with_name("catalogue.db.suspect").exists()
    with contextlib.suppress(DiskError):  # whether the end touches a torn page is SQLite's affair
        catalogue.close()
    again = Catalogue.open(path)
    assert len(again.lost) == 2
    again.close()
    assert not path.with_name("catalogue.db.suspect").exists()


def test_an_unwritable_home_is_an_error_and_tears_nothing(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    with pytest.raises(DiskError):
        Catalogue.open(path)
    assert path.is_dir()


def test_a_torn_line_of_the_journal_costs_that_line_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.shared([file_item(write(tmp_path / "a", b"a"))])
    with (tmp_path / "j").open("ab") as file:
        file.write(b'{"hash":"12')
    journal.shared([file_item(write(tmp_path / "b", b"b"))])
    assert [lost.path.name for lost in journal.live().values()] == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        b"null",
        b"[]",
        b"7",
        b'{"hash":"zz"}',
        b'{"hash":"00","path":"p","name":"n","keywords":[]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_lines_of_another_shape_are_passed_over(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "j").write_bytes(line + b"\n")
    assert Journal(tmp_path / "j").live() == {}


def test_a_path_that_is_no_text_survives_the_journal(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    journal = Journal(tmp_path / "j")
    journal.shared([file_item(write(path, b"x"))])
    (lost,) = journal.live().values()
    assert lost.path == path


def test_a_journal_of_dead_lines_is_rewritten(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    item = file_item(write(tmp_path / "a", b"a"))
    for _ in range(600):
        journal.shared([item])
    journal.withdrawn([b"\1" * 32] * 600)
    before = journal.live()
    journal.compact()
    assert len((tmp_path / "j").read_bytes().splitlines()) == 1
    assert journal.live() == before


KILLED = """
import sys
from pathlib import Path
from dhtshare.library.catalogue import Catalogue
from tests.unit.library.library_fakes import file_item, write
root, start = Path(sys.argv[1]), int(sys.argv[2])
catalogue = Catalogue.open(root / "home" / "catalogue.db")
number = start
while True:
    catalogue.add([file_item(write(root / f"{number}-{part}", b"%d %d" % (number, part))) for part in range(3)])
    print(number, flush=True)
    number += 1
"""


def test_an_acknowledged_publish_survives_kill_at_any_moment(path: Path, tmp_path: Path) -> None:
    acknowledged, start, rng = 0, 0, random.Random(5)
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), str(start)], stdout=subprocess.PIPE, text=True
        )
        with writer:
            assert writer.stdout is not None
            for _ in range(rng.randrange(1, 12)):
                start = int(writer.stdout.readline()) + 1
            writer.kill()
            for line in writer.stdout:  # what it had said before it died
                start = int(line) + 1
        acknowledged = start
        catalogue = Catalogue.open(path)
        assert catalogue.lost == ()
        count = catalogue.count()[State.SHARED]
        assert count % 3 == 0, "a publish of three is there whole or not at all"
        assert count >= 3 * acknowledged
        catalogue.close()
        start = max(start, count // 3)
