"""SQLite under the catalogue: transactions, readers beside the writer, failures told, and one format for good."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from dhtshare.content.bitfield import Bitfield
from dhtshare.errors import DiskError
from dhtshare.library import schema
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.claims import Claims
from dhtshare.library.database import Database
from dhtshare.library.integrity import open_sound
from dhtshare.library.journal import Journal
from dhtshare.library.records import Kind, Member, NewItem, Place, State
from tests.unit.library.library_fakes import describe, file_item, write


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened, new = open_sound(tmp_path / "catalogue.db")
    assert new
    yield opened
    opened.close()


def facts(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute("SELECT count(*) FROM fact").fetchone()[0])


def test_a_transaction_that_raises_is_undone(database: Database) -> None:
    with pytest.raises(KeyError), database.write() as tx:
        tx.execute("INSERT INTO fact VALUES ('a', 1)")
        raise KeyError
    assert facts(database) == 0
    with database.write() as tx:
        tx.execute("INSERT INTO fact VALUES ('a', 1)")
    assert facts(database) == 1


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.write() as tx:
        tx.execute("INSERT INTO fact VALUES ('a', 1)")
        counts: list[int] = []
        reader = threading.Thread(target=lambda: counts.append(facts(database)))
        reader.start()
        reader.join(10)
        assert counts == [0], "it sees what was committed, at once"


def test_the_reading_connection_cannot_write(database: Database) -> None:
    with pytest.raises(DiskError), database.read() as tx:
        tx.execute("INSERT INTO fact VALUES ('a', 1)")


def test_a_write_is_durable_when_it_returns(database: Database) -> None:
    with database.write() as tx:
        assert tx.execute("PRAGMA synchronous").fetchone() == (2,)
        assert tx.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert tx.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_the_file_is_private(database: Database) -> None:
    assert database.path.stat().st_mode & 0o077 == 0
    with database.write() as tx:
        tx.execute("INSERT INTO fact VALUES ('a', 1)")
    assert database.path.with_name("catalogue.db-wal").stat().st_mode & 0o077 == 0


def test_another_programs_database_is_moved_aside_not_used(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    database, new = open_sound(path)
    assert new
    database.close()
    assert path.with_name("catalogue.db.torn").exists()


def test_a_full_disk_is_told_as_such(database: Database) -> None:
    with pytest.raises(DiskError, match="Free some space"), database.write() as tx:
        (pages,) = tx.execute("PRAGMA page_count").fetchone()
        tx.execute(f"PRAGMA max_page_count = {pages}")
        tx.execute("INSERT INTO content (hash, descriptor) VALUES (?, zeroblob(1000000))", (b"h",))
    assert facts(database) == 0


def test_two_processes_take_turns(database: Database) -> None:
    program = (
        "import sys; from pathlib import Path; from dhtshare.library.database import Database\n"
        "database = Database(Path(sys.argv[1])); print('asking', flush=True)\n"
        "with database.write() as tx: tx.execute(\"INSERT INTO fact VALUES ('b', 1)\")\n"
    )
    with database.write() as tx:
        tx.execute("INSERT INTO fact VALUES ('a', 1)")
        other = subprocess.Popen([sys.executable, "-c", program, str(database.path)], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "asking\n"
    with other:
        assert other.wait(20) == 0
    assert facts(database) == 2


ADDING = """
import sys
from pathlib import Path
from dhtshare.errors import DiskError
from dhtshare.library.catalogue import Catalogue
from tests.unit.library.library_fakes import file_item
catalogue = Catalogue.open(Path(sys.argv[1]) / "catalogue.db")
for name in sorted(Path(sys.argv[1], "files").iterdir()):
    try:
        catalogue.add([file_item(name)])
    except DiskError as error:
        print("failed", error, flush=True)
    else:
        print("shared", name.name, flush=True)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("when", [1, 2, 3, 5, 8, 13, 20])
@pytest.mark.parametrize("call", ["fsync,fdatasync", "pwrite64,write"])
def test_an_io_error_loses_no_acknowledged_entry(tmp_path: Path, call: str, when: int) -> None:
    for number in range(4):
        write(tmp_path / "files" / str(number), b"%d" % number)
    Catalogue.open(tmp_path / "catalogue.db").close()
    inject = f"inject={call}:error=EIO:when={when}"
    command = ["strace", "-f", "-o", "/dev/null", "-P", str(tmp_path), "-P", str(tmp_path / "catalogue.db")]
    command += ["-P", str(tmp_path / "catalogue.db-wal"), "-P", str(tmp_path / "shared.jsonl"), "-e", inject]
    done = subprocess.run([*command, sys.executable, "-c", ADDING, str(tmp_path)], capture_output=True, text=True)
    if "ptrace" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("tracing is not allowed here")
    shared = re.findall(r"^shared (.*)$", done.stdout, re.MULTILINE)
    catalogue = Catalogue.open(tmp_path / "catalogue.db")
    names = {item.name for item in catalogue.items()} | {lost.path.name for lost in catalogue.lost}
    assert set(shared) <= names
    assert all(item.state is State.SHARED for item in catalogue.items())
    catalogue.close()


def test_ten_thousand_members_stay_on_the_disk(tmp_path: Path) -> None:
    catalogue = Catalogue.open(tmp_path / "catalogue.db")
    raw = describe(b"x").encode()
    members = (Member(n, Place(tmp_path / "c" / f"{n}", 1, n), raw) for n in range(10_000))
    catalogue.add([big_collection(tmp_path, members)])
    catalogue.close()
    tracemalloc.start()
    try:
        reopened = Catalogue.open(tmp_path / "catalogue.db")
        assert len(list(reopened.items())) == 1
        resident, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert resident < 1 << 20
    reopened.close()


def big_collection(root: Path, members: Iterator[Member]) -> NewItem:
    return NewItem(
        content_hash=b"c" * 32,
        kind=Kind.COLLECTION,
        name="c",
        path=root / "c",
        size=10_000,
        files=10_000,
        chunks=10_000,
        descriptor=b"stands for a long one",
        members=members,
    )


def test_the_tables_of_version_one_stay_as_they_shipped() -> None:
    """A catalogue written today is opened by every later version: what shipped is never edited, only added to."""
    assert schema.APPLICATION_ID == 0x64687473
    assert blake3(schema.MIGRATIONS[0].encode()).hexdigest(length=8) == "ccdd7430fd1bac98"


def test_a_line_of_the_journal_stays_as_it_shipped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    item = file_item(write(tmp_path / "f", b"x"), keywords=("ü",), each=True)
    journal.shared([item])
    journal.withdrawn([b"\1" * 32])
    first, second = (tmp_path / "j").read_bytes().splitlines()
    path = json.dumps(str(tmp_path / "f"))
    shared = f'{{"hash":"{item.content_hash.hex()}","path":{path},"name":"f","keywords":["\\u00fc"],"each":true}}'
    assert first.decode() == shared
    assert second.decode() == f'{{"withdrawn":"{"01" * 32}"}}'


def test_the_bitmap_file_stays_as_it_shipped(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    claims = Claims.open(root, "bits")
    claims.write(b"c" * 32, Bitfield(10, [0, 9]), b"b" * 16)
    claims.close()
    os.close(root)
    golden = b"dhtshare\x01" + b"c" * 32 + b"b" * 16 + bytes.fromhex("0000000ad98be348e430efdc") + b"\x01\x02"
    assert (tmp_path / "bits").read_bytes() == golden
