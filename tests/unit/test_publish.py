"""What `publish` and `unpublish` say came of it, by receipts that a test hands out; the library is a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhtshare.dht.records.receipts import Receipt
from dhtshare.errors import (
    DhtshareError,
    DiskError,
    MalformedError,
    NotFoundError,
    PartialFailureError,
    QuorumError,
    UsageError,
)
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import Item, NewItem, State
from dhtshare.node import Node
from dhtshare.publish import PublishRequest, UnpublishRequest, publish, receipt_object, unpublish

GOOD = Receipt(
    keys=3, acks=30, holders=25, verified=3, quorum=True, alone=False, next_renewal=1_800_000_000.0, weakest=(10, 10)
)
WEAK = replace(GOOD, acks=2, quorum=False)
ALONE = replace(GOOD, acks=0, holders=0, verified=0, alone=True)


class Home:
    """A node's library, and a seeding that notes what it is told and gives the receipts that a test wants."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.shared: list[list[str]] = []
        self.withdrawn: list[Item] = []
        self.receipts: dict[str, Receipt] = {}
        self.clock_warning: str | None = None
        self.undialable = False
        self.events: list[dict[str, Any]] = []

    @property
    def node(self) -> Node:
        node = SimpleNamespace(
            catalogue=self.catalogue,
            seeding=self,
            records=self,
            dht=SimpleNamespace(scopes={"ipv4": SimpleNamespace(undialable=self.undialable)}),
            listening=SimpleNamespace(port=4470),
            link=lambda content_hash, _name, _size: f"dhtshare:{content_hash.hex()}",
        )
        return cast(Node, node)

    async def share(self, items: Sequence[NewItem]) -> None:
        self.shared.append([item.name for item in items])
        await self.catalogue.run(self.catalogue.add, items)

    async def receipt(self, content_hash: bytes) -> Receipt:
        item = self.catalogue.item(content_hash)
        assert item is not None, "a receipt is asked for when the library holds it durably"
        return self.receipts.get(item.name, GOOD)

    async def withdraw(self, items: Sequence[Item]) -> int:
        self.withdrawn += items
        return 7 * len(items)

    async def publish(self, *paths: object, **options: Any) -> list[dict[str, Any]]:
        return await publish(self.node, PublishRequest([str(path) for path in paths], **options), self.events.append)

    async def unpublish(self, content_hash: str) -> dict[str, Any]:
        return await unpublish(self.node, UnpublishRequest(content_hash), self.events.append)

    @property
    def messages(self) -> str:
        return "\n".join(event["message"] for event in self.events if event["event"] == "message")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    catalogue = Catalogue.open(tmp_path / "catalogue")
    yield Home(catalogue)
    catalogue.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    def file(name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(name.encode())
        return path

    return file


Make = Callable[[str], Path]


def run(story: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(story)


def failing(story: Coroutine[Any, Any, Any], kind: type[DhtshareError]) -> DhtshareError:
    with pytest.raises(kind) as raised:
        asyncio.run(story)
    return raised.value


def test_a_result_tells_all_that_a_script_needs(home: Home, make: Make) -> None:
    (row,) = run(home.publish(make("Old Walrus.txt"), keywords=["Sea"]))
    assert row["link"] == f"dhtshare:{row['hash']}"
    assert (row["name"], row["kind"], row["size"], row["files"], row["chunks"]) == ("Old Walrus.txt", "file", 14, 1, 1)
    assert row["keywords"] == ["sea", "old", "walrus"]
    assert row["receipt"] == {
        "keys": 3,
        "acks": 30,
        "holders": 25,
        "verified": 3,
        "quorum": True,
        "full": [],
        "next_renewal": 1_800_000_000.0,
    }
    assert home.messages == ""


def test_results_come_in_the_order_of_the_paths_and_a_path_given_twice_is_one(home: Home, make: Make) -> None:
    one, two = make("one.txt"), make("two.txt")
    rows = run(home.publish(two, one, two.parent / "." / "two.txt"))
    assert [row["name"] for row in rows] == ["two.txt", "one.txt"]
    assert "given twice" in home.messages


def test_many_paths_become_durable_in_batches(home: Home, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.publish.BATCH", 4)
    paths = [make(f"{number}.txt") for number in range(9)]
    assert len(run(home.publish(*paths, wait=False))) == 9
    assert [len(names) for names in home.shared] == [4, 4, 1]


def test_no_wait_has_no_receipt_and_is_no_failure(home: Home, make: Make) -> None:
    home.receipts["one.txt"] = WEAK
    (row,) = run(home.publish(make("one.txt"), wait=False))
    assert row["receipt"] is None


def test_below_quorum_is_exit_8_with_every_result(home: Home, make: Make) -> None:
    home.receipts |= {"one.txt": WEAK, "two.txt": GOOD}
    error = failing(home.publish(make("one.txt"), make("two.txt")), QuorumError)
    assert "one.txt" in str(error)
    assert "two.txt" not in str(error)
    assert [row["receipt"]["quorum"] for row in cast("list[dict[str, Any]]", error.result)] == [False, True]


def test_alone_is_said_and_is_no_failure(home: Home, make: Make) -> None:
    home.receipts["one.txt"] = ALONE
    run(home.publish(make("one.txt")))
    assert "No other node is known yet; one.txt" in home.messages


def test_who_cannot_be_dialled_or_has_a_wrong_clock_is_told(home: Home, make: Make) -> None:
    home.undialable, home.clock_warning = True, "This machine's clock is about 24 h behind."
    run(home.publish(make("one.txt")))
    assert "forward TCP and UDP port 4470" in home.messages
    assert "24 h behind" in home.messages


def test_one_path_that_fails_raises_its_own_error(home: Home, tmp_path: Path) -> None:
    failing(home.publish(tmp_path / "missing"), UsageError)
    assert home.shared == []


def test_some_that_fail_are_exit_3_and_the_others_are_shared(home: Home, make: Make, tmp_path: Path) -> None:
    home.receipts["good.txt"] = WEAK  # a failure weighs more than a quorum
    error = failing(home.publish(tmp_path / "missing", make("good.txt")), PartialFailureError)
    failed, shared = cast("list[dict[str, Any]]", error.result)
    assert failed["target"].endswith("missing")
    assert failed["error"]["code"] == 2
    assert shared["name"] == "good.txt"
    assert home.shared == [["good.txt"]]


def test_all_that_fail_alike_keep_their_code(home: Home, tmp_path: Path) -> None:
    error = failing(home.publish(tmp_path / "a", tmp_path / "b"), UsageError)
    assert len(cast("list[Any]", error.result)) == 2


@pytest.mark.parametrize(("paths", "options"), [((), {}), (("a", "b"), {"name": "one name"})])
def test_what_makes_no_sense_is_refused_before_anything_is_hashed(
    home: Home, paths: tuple[str, ...], options: dict[str, str]
) -> None:
    failing(home.publish(*paths, **options), UsageError)
    assert home.shared == []


def test_a_library_that_cannot_be_written_announces_nothing(home: Home, make: Make) -> None:
    def full(_items: object) -> None:
        raise DiskError("The disk is full.")

    home.catalogue.add = full  # type: ignore[method-assign,assignment]
    failing(home.publish(make("one.txt")), DiskError)


def test_whoever_stops_waiting_stops_the_hashing(home: Home, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = []
    monkeypatch.setattr("dhtshare.publish.Intake.cancel", lambda _self: cancelled.append(True))

    async def story() -> None:
        task = asyncio.ensure_future(home.publish(make("one.txt")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())
    assert cancelled == [True]
    assert home.shared == []


def test_a_full_word_is_listed() -> None:
    assert receipt_object(replace(GOOD, full=("mp3",)))["full"] == ["mp3"]


def test_unpublish_withdraws_and_counts_what_holders_took_back(home: Home, make: Make) -> None:
    path = make("one.txt")
    (row,) = run(home.publish(path))
    assert run(home.unpublish(row["link"])) == {"hash": row["hash"], "withdrawn": 1, "acks": 7}
    assert [item.name for item in home.withdrawn] == ["one.txt"]
    assert path.exists()
    item = home.catalogue.item(bytes.fromhex(row["hash"]))
    assert item is not None
    assert item.state is State.WITHDRAWN


def test_unpublish_again_is_no_failure_and_of_what_never_was_is_one(home: Home, make: Make) -> None:
    (row,) = run(home.publish(make("one.txt")))
    run(home.unpublish(row["hash"]))
    assert run(home.unpublish(row["hash"]))["withdrawn"] == 0
    failing(home.unpublish("ab" * 32), NotFoundError)
    failing(home.unpublish("no hash"), MalformedError)
