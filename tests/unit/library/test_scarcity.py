"""Few descriptors, many threads, hostile names: the library still does its work, or says what it lacks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dhtshare.content.layout import Layout
from dhtshare.content.paths import safe_name
from dhtshare.errors import DiskError
from dhtshare.library.records import Kind
from dhtshare.library.unfinished import Unfinished
from tests.unit.library.library_fakes import MIB, chunk_of, describe, folder_layout, noise

FILES = {f"{n % 5}/{n:03}": noise(n, str(n)) for n in range(120)} | {"big": noise(5 * MIB + 1)}

UNDER_ULIMIT = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import Kind
from dhtshare.library.shelf import Shelf
from dhtshare.library.unfinished import Unfinished
from tests.unit.library.library_fakes import *
from tests.unit.library.test_scarcity import FILES
root = Path(sys.argv[1])
layout = folder_layout(FILES)
fetch = Unfinished.open(root, "album", layout, kind=Kind.COLLECTION)
for index in range(layout.chunk_count):
    fetch.store(index, chunk_of(layout, FILES, index))
fetch.finish()
fetch.close()
catalogue = Catalogue.open(root / "catalogue.db")
catalogue.add([folder_item(root / "album", FILES)])
shelf = Shelf(catalogue)
offer = shelf.offer(layout.content_hash)
for index in range(layout.chunk_count):
    offer.close_chunk(offer.open_chunk(index))
print(layout.chunk_count)
"""


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=["thread", "memory"])
def test_what_is_refused_every_thread_is_synced_and_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def start(_: threading.Thread) -> None:
        raise error

    synced, real = [0], os.fsync

    def fsync(fd: int) -> None:
        synced[0] += 1
        real(fd)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(os, "fsync", fsync)
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    for index in range(layout.chunk_count):
        fetch.store(index, chunk_of(layout, FILES, index))
    assert (fetch.finish() / "big").read_bytes() == FILES["big"]
    fetch.close()
    assert synced[0] >= len([data for data in FILES.values() if data])


def test_a_fetch_and_its_serving_need_few_descriptors(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNDER_ULIMIT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 119 + 6  # the file of no bytes has no chunk


def test_many_threads_store_at_once(tmp_path: Path) -> None:
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    order = list(range(layout.chunk_count)) * 2  # each chunk comes twice, as in an endgame
    random.Random(9).shuffle(order)
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for index in order[first::8]:
                fetch.store(index, chunk_of(layout, FILES, index))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert fetch.complete
    fetch.finish()
    fetch.close()
    for path, data in FILES.items():
        assert (tmp_path / "album" / path).read_bytes() == data


def test_closing_while_threads_store_loses_no_descriptor_to_another_file(tmp_path: Path) -> None:
    layout = folder_layout(FILES)
    fetch = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    ended: list[DiskError] = []
    begun = threading.Barrier(5)

    def work() -> None:
        begun.wait()
        try:
            for index in range(layout.chunk_count):
                fetch.store(index, chunk_of(layout, FILES, index))
        except DiskError as error:
            ended.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    fetch.close()
    for thread in threads:
        thread.join()
    assert all("has ended" in str(error) for error in ended), ended
    again = Unfinished.open(tmp_path, "album", layout, kind=Kind.COLLECTION)
    for index in list(again.missing()):
        again.store(index, chunk_of(layout, FILES, index))
    again.finish()
    again.close()
    for path, data in FILES.items():
        assert (tmp_path / "album" / path).read_bytes() == data


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/x",
        "a/../../x",
        "C:\\x",
        "\\\\srv\\x",
        "CON",
        "nul.txt",
        "a:b",
        "dot.",
        "space ",
        "",
        ".",
        "..",
        "x" * 300,
        "ä" * 200 + ".mkv",
        "a\0b",
        "new\nline",
        "\x1b[31mred",
        "\x85",
        "\u202egnp.exe",
        "zero\u200bwidth",
        "-rf",
    ],
)
def test_a_hostile_name_lands_in_the_folder_and_nowhere_else(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    data = b"harmless"
    fetch = Unfinished.open(out, safe_name(name), Layout.of(describe(data)), kind=Kind.FILE)
    fetch.store(0, data)
    assert all(entry.name.startswith(".") for entry in out.iterdir())
    path = fetch.finish()
    fetch.close()
    assert path.parent == out
    assert [entry.read_bytes() for entry in out.iterdir()] == [data]
    assert list(tmp_path.iterdir()) == [out]
