"""What is found changed by itself: told to whoever runs the node, and taken back, whenever it is noticed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from dhtshare import seeding
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import Item, State
from dhtshare.node import Node
from dhtshare.seeding import MOST_TOLD, Seeding
from tests.unit.library.library_fakes import file_item, folder_item, write

SLOW_SECONDS = 0.05


class Slow(Seeding):
    """Its withdrawals take a while, as those over a network do."""

    def __init__(self, catalogue: Catalogue) -> None:
        node = SimpleNamespace(catalogue=catalogue, records=SimpleNamespace(holdings=[]), network=b"net1")
        super().__init__(cast(Node, node), Random(1))
        self.withdrawn: list[str] = []

    async def withdraw(self, items: Sequence[Item]) -> int:
        await asyncio.sleep(SLOW_SECONDS)
        self.withdrawn += [item.name for item in items]
        return 0

    async def keep_true_until(self, count: int) -> None:
        """Lives until so many items were taken back."""
        keeping = asyncio.create_task(self._keep_true())
        try:
            async with asyncio.timeout(20):
                while len(self.withdrawn) < count:
                    await asyncio.sleep(0.01)
        finally:
            keeping.cancel()


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(tmp_path / "catalogue.db")
    yield opened
    opened.close()


async def test_a_look_that_is_due_does_not_cut_off_what_is_being_taken_back(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is marked already is not found by that look, so nobody would take it back any more."""
    path = write(tmp_path / "a", b"a")
    catalogue.add([file_item(path)])
    life = Slow(catalogue)
    monkeypatch.setattr(seeding, "RECHECK_SECONDS", SLOW_SECONDS / 2)
    for item in catalogue.mark(path, State.CHANGED):
        life.notice(item)
    await life.keep_true_until(1)
    assert life.withdrawn == ["a"]


async def test_whoever_runs_the_node_is_told_what_is_offered_no_more(
    catalogue: Catalogue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone, changed = write(tmp_path / "gone", b"g"), write(tmp_path / "changed", b"c")
    catalogue.add([file_item(gone), file_item(changed), folder_item(tmp_path / "folder", {"x": b"1", "y": b"2"})])
    gone.unlink()
    os.truncate(changed, 0)
    (tmp_path / "folder" / "x").unlink()
    life = Slow(catalogue)
    await life.keep_true_until(3)
    told = sorted(record.getMessage() for record in caplog.records)
    assert [line.split(maxsplit=1)[0] for line in told] == ["changed", "folder", "gone"]
    assert all(line.endswith("See: dhtshare list") for line in told)


async def test_a_disk_that_is_gone_is_told_in_a_few_lines(
    catalogue: Catalogue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [write(tmp_path / str(number), b"%d" % number) for number in range(100)]
    catalogue.add([file_item(path) for path in paths])
    life = Slow(catalogue)
    for path in paths:
        for item in catalogue.mark(path, State.MISSING):
            life.notice(item)
    await life.keep_true_until(100)
    assert len(caplog.records) == MOST_TOLD + 1
    assert f"{100 - MOST_TOLD} others" in caplog.text
