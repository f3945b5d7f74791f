"""What `search` makes of entries as they come: hits, order, what is remembered, and the ways in which it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.search import Found
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.errors import DhtshareError, NetworkError, NotFoundError, UsageError
from dhtshare.library.records import SearchRow
from dhtshare.network import Address, Scope
from dhtshare.node import Node
from dhtshare.search import MAX_LIMIT, PROBED_HITS, SearchRequest, search
from tests.unit.records.records_fakes import content, entry


class World:
    """A node whose search gives these entries, each after so many seconds, and whose finder knows who holds what."""

    def __init__(self) -> None:
        self.comes: list[tuple[float, Entry, str]] = []
        self.lasts = 0.0
        self.withdrawn: set[tuple[bytes, bytes]] = set()
        self.held: dict[bytes, list[str]] = {}
        self.asked: list[Query] = []
        self.probed: list[bytes] = []
        self.saved: list[SearchRow] = []
        self.events: list[dict[str, Any]] = []
        self.nobody = False
        self.closed = False

    def give(self, *entries: Entry, by: str = "a", after: float = 0.0) -> None:
        self.comes += [(after, one, by) for one in entries]

    @property
    def node(self) -> Node:
        node = SimpleNamespace(
            require_contacts=self._require_contacts,
            records=SimpleNamespace(search=self._search),
            finder=SimpleNamespace(
                attempts=lambda: None, holders=self._holders, tag=lambda address: address.host.encode()
            ),
            own_network=lambda _content_hash: None,
            catalogue=SimpleNamespace(run=self._run, save_search=self.saved.extend),
            link=lambda content_hash, name, _size, with_peer: f"{content_hash.hex()} {name} {with_peer}",
        )
        return cast(Node, node)

    async def _require_contacts(self, *, has_hints: bool) -> None:
        assert not has_hints
        if self.nobody:
            raise NetworkError("No node answered.")

    def _search(self, query: Query) -> SimpleNamespace:
        self.asked.append(query)
        return SimpleNamespace(
            entries=self._entries, withdrawn=self.withdrawn, nodes_asked=9, nodes_answered=7, suspicious=True
        )

    async def _entries(self) -> AsyncIterator[Found]:
        try:
            for pause, one, by in self.comes:
                await asyncio.sleep(pause)
                yield Found(one, Scope.IPV4, by)
            await asyncio.sleep(self.lasts)
        finally:
            self.closed = True

    async def _holders(self, content_hash: bytes, **_options: Any) -> list[SimpleNamespace]:
        self.probed.append(content_hash)
        await asyncio.sleep(0.1)
        return [SimpleNamespace(address=Address(host, 1)) for host in self.held.get(content_hash, ())]

    async def _run(self, work: Any, rows: Sequence[SearchRow]) -> None:
        work(rows)

    async def search(self, *words: str, **options: Any) -> dict[str, Any]:
        return await search(self.node, SearchRequest(list(words), **options), self.events.append)


def tell(story: Coroutine[Any, Any, Any]) -> Any:
    async def main(_loop: VirtualLoop) -> Any:
        result = await asyncio.wait_for(story, 1e6)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return run_virtual(main)


def failing(story: Coroutine[Any, Any, Any], kind: type[DhtshareError]) -> DhtshareError:
    with pytest.raises(kind) as raised:
        tell(story)
    return raised.value


def numbers(result: dict[str, Any]) -> list[int]:
    return [int(row["hash"], 16) for row in result["results"]]


def test_a_row_tells_names_sizes_and_who_confirmed() -> None:
    world = World()
    world.give(entry(1, name="walrus.mp3"), entry(1, by=2, name="walrus.mp3"), entry(1, by=3, name="seal.mp3"))
    world.held[content(1)] = ["81.1.1.1", "82.1.1.1"]
    result = tell(world.search("musica"))
    (row,) = result["results"]
    assert (row["name"], row["names"], row["kind"], row["size"]) == (
        "walrus.mp3",
        ["walrus.mp3", "seal.mp3"],
        "file",
        1000,
    )
    assert (row["publishers"], row["providers"]) == (3, 2)
    assert row["link"] == f"{content(1).hex()} walrus.mp3 False"
    assert (result["query"], result["nodes_asked"], result["nodes_answered"]) == (["musica"], 9, 7)
    assert (result["suspicious"], result["timed_out"]) == (True, False)
    assert [event["hash"] for event in world.events] == [content(1).hex()]
    assert [row.content_hash for row in world.saved] == [content(1)]


def test_confirmed_stands_before_unconfirmed_and_rows_are_remembered_in_that_order() -> None:
    world = World()
    world.give(*(entry(number, by=number) for number in range(1, 6)))
    world.held = {content(4): ["81.1.1.1"], content(2): ["81.1.1.1", "82.1.1.1"]}
    assert numbers(tell(world.search("musica")))[:2] == [2, 4]
    assert [row.content_hash for row in world.saved][:2] == [content(2), content(4)]


def test_a_teller_that_was_quickest_with_hundreds_leaves_the_others_their_probes() -> None:
    world = World()
    world.give(*(entry(1000 + number, by=number + 9) for number in range(300)), by="liar")
    for teller in "abc":
        world.give(*(entry(number, by=7) for number in range(20)), by=teller, after=0.01)
    world.held = {content(number): ["81.1.1.1"] for number in range(20)}
    result = tell(world.search("musica"))
    assert {content(number) for number in range(20)} <= set(world.probed)
    assert len(world.probed) == PROBED_HITS
    assert set(numbers(result)[:20]) == set(range(20))


def test_the_limit_cuts_what_is_shown_and_remembered() -> None:
    world = World()
    world.give(*(entry(number) for number in range(1, 30)))
    assert len(tell(world.search("musica", limit=5))["results"]) == 5
    assert len(world.saved) == 5
    assert world.asked[0].limit == PROBED_HITS


def test_beyond_the_probed_nobody_was_asked() -> None:
    world = World()
    world.give(*(entry(number) for number in range(1, PROBED_HITS + 3)))
    rows = tell(world.search("musica", limit=100))["results"]
    assert [row["providers"] for row in rows].count(None) == 2


def test_what_was_withdrawn_meanwhile_is_not_shown_and_not_asked_about_at_the_end() -> None:
    world = World()
    world.give(*(entry(number) for number in range(1, 20)))
    world.withdrawn = {(entry(number).publisher, content(number)) for number in range(1, 19)}
    assert numbers(tell(world.search("musica"))) == [19]
    assert len(world.probed) <= 6  # a share at once, and the one that is left


def test_a_search_that_takes_too_long_shows_what_it_has() -> None:
    world = World()
    world.give(entry(1))
    world.held[content(1)] = ["81.1.1.1"]
    world.lasts = 1e5
    result = tell(world.search("musica", timeout=3.0))
    assert (numbers(result), result["timed_out"], result["seconds"]) == ([1], True, 3.0)
    assert result["results"][0]["providers"] == 1
    assert world.closed


def test_nothing_found_is_exit_4_with_the_result_beside_it() -> None:
    world = World()
    error = failing(world.search("musica", "nova"), NotFoundError)
    result = cast("dict[str, Any]", error.result)
    assert result["results"] == []
    assert "musica nova" in str(error)
    assert "7 nodes answered" in str(error)
    assert world.saved == []
    world.lasts = 1e5
    assert "within 2 s" in str(failing(world.search("musica", timeout=2.0), NotFoundError))


def test_nobody_there_is_exit_5() -> None:
    world = World()
    world.nobody = True
    failing(world.search("musica"), NetworkError)
    assert world.asked == []


def test_words_are_made_as_names_are() -> None:
    world = World()
    world.give(entry(1))
    tell(world.search("Música.mp3", "MUSICA", "a", ext=".MP3", kind="file", min_size=1, max_size=2))
    (query,) = world.asked
    assert (query.words, query.extension, query.kind) == (("musica",), "mp3", "file")
    assert (query.min_size, query.max_size) == (1, 2)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("a",), {}),
        ((), {}),
        (("musica",), {"kind": "folder"}),
        (("musica",), {"limit": 0}),
        (("musica",), {"limit": MAX_LIMIT + 1}),
        (("musica",), {"timeout": 0.0}),
        (("musica",), {"min_size": 5, "max_size": 4}),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], options: dict[str, Any]) -> None:
    world = World()
    failing(world.search(*words, **options), UsageError)
    assert world.asked == []
