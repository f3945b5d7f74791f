"""What a holder says of a region, and what it gives of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.dht.records import surveyor as surveyor_module
from dhtshare.dht.records.copies import MAX_PAIRS, Pull, Survey, Want, digest_of_pairs
from dhtshare.dht.records.region import Region
from dhtshare.dht.records.signed import place_of
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.records.surveyor import Surveyor, live, mark_of, start_of
from tests.unit.records.records_fakes import WALL, entry, key, raws, store

EVERYWHERE = Region(bytes(20), 0)
UNKNOWN = bytes(8)
PARTS = 16


def filled(*words: str, by: int = 1) -> RecordStore:
    kept = store()
    for number, word in enumerate(words):
        kept.put_entry(entry(number, words=(word,), by=by), [0], b"net", now=0.0, wall=WALL)
    return kept


def words(count: int) -> list[str]:
    return [f"word{number}" for number in range(count)]


def test_a_region_is_told_key_by_key_in_order() -> None:
    kept = filled(*words(20))
    told = Surveyor(kept).survey(Survey(EVERYWHERE, UNKNOWN), PARTS, 0.0)
    assert [one for one, _ in told.pairs] == sorted(key(word) for word in words(20))
    assert dict(told.pairs)[key("word7")] == start_of(kept.set_of(key("word7")))
    assert not told.same
    assert not told.many


def test_only_what_lies_in_the_region_is_told() -> None:
    surveyor = Surveyor(filled(*words(40)))
    parts = [surveyor.survey(Survey(part, UNKNOWN), PARTS, 0.0).pairs for part in EVERYWHERE.parts(2)]
    assert [one[0] >> 6 for pairs in parts for one, _ in pairs] == sorted(key(word)[0] >> 6 for word in words(40))
    assert sum(map(len, parts)) == 40


def test_who_holds_the_same_hears_no_more_than_that() -> None:
    one, other = Surveyor(filled(*words(20))), Surveyor(filled(*words(20)))
    mine = one.pairs(EVERYWHERE, 0.0)
    assert mine is not None
    told = other.survey(Survey(EVERYWHERE, digest_of_pairs(mine)), PARTS, 0.0)
    assert told.same
    assert told.pairs == ()
    third = Surveyor(filled(*words(20), by=2))
    assert not third.survey(Survey(EVERYWHERE, digest_of_pairs(mine)), PARTS, 0.0).same


def test_more_keys_than_fit_are_to_be_asked_for_in_parts() -> None:
    kept = filled(*words(2 * MAX_PAIRS + 1))
    assert Surveyor(kept).survey(Survey(EVERYWHERE, UNKNOWN), 2, 0.0).many
    assert len(Surveyor(kept).survey(Survey(EVERYWHERE, UNKNOWN), 3, 0.0).pairs) == 2 * MAX_PAIRS + 1


def test_no_question_makes_it_digest_more_than_so_many_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveyor_module, "MAX_DIGESTED", 29)
    surveyor = Surveyor(filled(*words(30)))
    assert surveyor.pairs(EVERYWHERE, 0.0) is None
    assert surveyor.survey(Survey(EVERYWHERE, UNKNOWN), PARTS, 0.0).many


def test_keys_that_come_and_go_are_noticed() -> None:
    kept = filled("one")
    surveyor = Surveyor(kept)
    assert len(surveyor.pairs(EVERYWHERE, 0.0) or ()) == 1
    kept.put_entry(entry(9, words=("two",)), [0], b"net", now=0.0, wall=WALL)
    assert len(surveyor.pairs(EVERYWHERE, 0.0) or ()) == 2
    kept.expire(now=1e9)
    assert surveyor.pairs(EVERYWHERE, 0.0) == ()


def test_what_is_past_is_neither_told_nor_given() -> None:
    kept = store()
    kept.put_entry(entry(1, ttl=100.0), [0], b"net", now=0.0, wall=WALL)
    kept.put_entry(entry(2, ttl=900.0), [0], b"net", now=0.0, wall=WALL)
    surveyor = Surveyor(kept)
    only = live(kept.set_of(key("musica")), 200.0)
    assert surveyor.survey(Survey(EVERYWHERE, UNKNOWN), PARTS, 200.0).pairs == ((key("musica"), start_of(only)),)
    parts, more = surveyor.pull(Pull((Want(key("musica")),)), [9000], 200.0)
    assert [raw for _, raw, _ in parts[0]] == [only[0].raw]
    assert not more


def test_what_the_asker_has_is_not_sent() -> None:
    kept = store()
    for number in range(5):
        kept.put_entry(entry(number), [0], b"net", now=0.0, wall=WALL)
    have = raws(kept, "musica")
    marks = mark_of(have[0]) + mark_of(have[3])
    parts, _ = Surveyor(kept).pull(Pull((Want(key("musica"), marks), Want(key("other")))), [9000], 0.0)
    assert parts[0] == [(0, raw, b"net") for raw in (have[1], have[2], have[4])]


def test_a_range_begins_behind_one_place_and_ends_with_another() -> None:
    kept = store()
    for number in range(5):
        kept.put_entry(entry(number), [0], b"net", now=0.0, wall=WALL)
    have = raws(kept, "musica")
    want = Want(key("musica"), b"", place_of(have[0]), place_of(have[2]))
    parts, _ = Surveyor(kept).pull(Pull((want,)), [9000], 0.0)
    assert [raw for _, raw, _ in parts[0]] == have[1:3]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1200), min_size=1, max_size=5), st.integers(0, 8))
def test_what_is_pulled_until_nothing_is_left_is_the_whole_set_once(rooms: list[int], known: int) -> None:
    """As a puller does: what came is marked in the next request. One record at least must fit."""
    rooms = [*rooms, 600]
    kept = store()
    for number in range(9):
        kept.put_entry(entry(number), [0], b"net", now=0.0, wall=WALL)
    whole = raws(kept, "musica")
    have = whole[:known]
    for _ in range(20):
        marks = b"".join(map(mark_of, have))
        parts, more = Surveyor(kept).pull(Pull((Want(key("musica"), marks),)), rooms, 0.0)
        came = [raw for part in parts for _, raw, _ in part]
        assert not set(came) & set(have)
        have += came
        if not more:
            break
    assert sorted(have) == sorted(whole)
