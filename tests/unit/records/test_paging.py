"""Pages: dealt over networks, continued by cursor, filtered, and told apart by digests."""

from __future__ import annotations

import pytest

from dhtshare.content.format import Kind
from dhtshare.dht.records.entry import decode_record
from dhtshare.dht.records.paging import CURSOR_BYTES, MAX_READ, START, Page, digest_of_raw
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.signed import content_of
from dhtshare.dht.records.store import RecordStore
from tests.unit.records.records_fakes import HOUR, WALL, content, entry, key, store, withdrawal

NOW = 100.0


def put(kept: RecordStore, number: int, tag: bytes = b"net", **more: object) -> None:
    record = entry(number, **more)  # type: ignore[arg-type]
    kept.put_entry(record, range(len(record.words)), tag, now=NOW, wall=WALL)


def page(kept: RecordStore, query: Query, cursor: bytes = b"", room: int = 1000, parts: int = 1) -> Page:
    return kept.find_entries(key("musica"), query, cursor, [room] * parts, now=NOW)


def everything(kept: RecordStore, query: Query, room: int = 1000, parts: int = 1) -> list[bytes]:
    found: list[bytes] = []
    cursor = b""
    while True:
        one = page(kept, query, cursor, room, parts)
        found += [raw for part in one.parts for raw in part]
        cursor = one.cursor
        if not cursor:
            return found


@pytest.mark.parametrize("room", [300, 1000, 5000])
@pytest.mark.parametrize("parts", [1, 3, 16])
def test_pages_reach_every_entry_once(room: int, parts: int) -> None:
    kept = store()
    for number in range(40):
        put(kept, number, tag=bytes([number % 3]))
    found = everything(kept, Query(("musica",)), room, parts)
    assert len(found) == len(set(found)) == 40


def test_ten_honest_entries_stand_before_the_crowd() -> None:
    kept = store()
    for number in range(500):
        put(kept, number, tag=b"crowd")
    for number in range(1000, 1010):
        put(kept, number, tag=bytes([number - 1000]))
    first = everything(kept, Query(("musica",)))[:11]
    assert sum(int.from_bytes(content_of(raw), "big") >= 1000 for raw in first) == 10


def test_a_page_never_passes_its_rooms() -> None:
    kept = store()
    for number in range(40):
        put(kept, number)
    one = page(kept, Query(("musica",)), room=700, parts=4)
    assert len(one.parts) == 4
    assert all(sum(len(raw) + 3 for raw in part) <= 700 for part in one.parts)


def test_no_room_for_the_first_record_is_no_end() -> None:
    kept = store()
    put(kept, 1)
    one = page(kept, Query(("musica",)), room=10)
    assert (one.parts, one.cursor, one.count) == ([[]], START, 1)
    assert everything(kept, Query(("musica",)), 1000) == page(kept, Query(("musica",)), START).parts[0]


def test_a_cursor_outlives_the_record_that_it_names() -> None:
    kept = store()
    for number in range(10):
        put(kept, number, ttl=HOUR if number == 2 else 2 * HOUR)
    room = 3 * (len(entry(1).raw) + 3)
    first = page(kept, Query(("musica",)), room=room)
    assert len(first.parts[0]) == 3
    kept.expire(now=NOW + HOUR)
    behind = page(kept, Query(("musica",)), first.cursor, 5000)
    assert [content_of(raw) for raw in behind.parts[0]] == [content(number) for number in range(3, 10)]


def test_an_unknown_key_and_a_cursor_behind_everything_are_empty_ends() -> None:
    kept = store()
    assert page(kept, Query(("musica",))) == Page([[]], b"", 0, digest_of_raw([]))
    put(kept, 1)
    assert page(kept, Query(("musica",)), b"\xff" * CURSOR_BYTES).parts == [[]]


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        (Query(("musica",)), {1, 2, 3, 4}),
        (Query(("popular", "musica")), {2, 4}),
        (Query(("musi",)), set()),
        (Query(("musica", "mp3")), set()),  # in the name, but no word of it
        (Query(("musica",), kind="collection"), {3}),
        (Query(("musica",), extension="ogg"), {2}),
        (Query(("musica",), min_size=20), {2, 3, 4}),
        (Query(("musica",), min_size=20, max_size=30), {2, 3}),
    ],
)
def test_all_words_and_filters_must_match(query: Query, hits: set[int]) -> None:
    kept = store()
    put(kept, 1, size=10)
    put(kept, 2, size=20, words=("musica", "popular"), name="a.ogg")
    put(kept, 3, size=30, kind=Kind.COLLECTION, name="folder.mp3")
    put(kept, 4, size=40, words=("popular", "other", "musica"))
    assert {int.from_bytes(content_of(raw), "big") for raw in everything(kept, query)} == hits


def test_past_entries_are_not_answered_and_withdrawals_are() -> None:
    kept = store()
    put(kept, 1, ttl=1.0)
    put(kept, 2)
    kept.withdraw(withdrawal(2), [key("musica")], now=NOW, wall=WALL)
    one = kept.find_entries(key("musica"), Query(("musica", "x")), b"", [1000], now=NOW + 2)
    assert one.parts == [[withdrawal(2).raw]]


def test_a_filter_that_matches_nothing_costs_a_bounded_read() -> None:
    kept = store()
    for number in range(MAX_READ + 50):
        put(kept, number, by=number % 2)
    one = page(kept, Query(("musica",), kind="collection"))
    assert one.parts == [[]]
    assert one.cursor
    assert page(kept, Query(("musica",), kind="collection"), one.cursor).cursor == b""


def test_digests_agree_exactly_where_the_records_do() -> None:
    one, other = store(), store()
    for number in range(5):
        put(one, number, tag=b"a")
        put(other, 4 - number, tag=b"b")
    query = Query(("musica",))
    assert page(one, query).digest == page(other, query).digest == digest_of_raw(reversed(everything(one, query)))
    put(other, 4, sequence=1)
    assert page(one, query).digest != page(other, query).digest
    assert all(decode_record(raw) for raw in everything(other, query))
