"""What many holders answer, united: the latest word of each publisher counts."""

from __future__ import annotations

from dhtshare.dht.records.query import Query
from dhtshare.dht.records.union import Union
from tests.unit.records.records_fakes import HOUR, WALL, content, entry, signer, withdrawal

PLACE = signer().public, content(1)


def test_the_same_entry_comes_through_from_every_holder_that_names_it() -> None:
    union = Union(Query(("musica",)))
    assert [union.add(entry(), WALL) for _ in range(3)] == [entry()] * 3


def test_of_two_entries_with_one_sequence_number_the_first_counts() -> None:
    union = Union(Query(("musica",)))
    assert union.add(entry(name="one"), WALL) is not None
    assert union.add(entry(name="other"), WALL) is None
    assert union.add(entry(name="one"), WALL) is not None


def test_what_was_taken_back_comes_through_from_nobody() -> None:
    union = Union(Query(("musica",)))
    union.add(entry(sequence=1), WALL)
    union.add(entry(sequence=2, words=("renamed",)), WALL)
    assert union.add(entry(sequence=1), WALL) is None
    assert union.add(entry(sequence=2, words=("renamed",)), WALL) is None


def test_a_newer_entry_comes_through_and_an_older_one_does_not() -> None:
    union = Union(Query(("musica",)))
    assert union.add(entry(sequence=2), WALL) == entry(sequence=2)
    assert union.add(entry(sequence=1), WALL) is None
    assert union.add(entry(sequence=3), WALL) == entry(sequence=3)


def test_a_withdrawal_wins_whether_it_comes_before_or_after() -> None:
    before, after = Union(Query(("musica",))), Union(Query(("musica",)))
    before.add(withdrawal(sequence=1), WALL)
    assert before.add(entry(sequence=1), WALL) is None
    assert after.add(entry(sequence=1), WALL) is not None
    assert after.add(withdrawal(sequence=1), WALL) is None
    assert before.withdrawn == after.withdrawn == {PLACE}


def test_publishing_again_undoes_a_withdrawal() -> None:
    union = Union(Query(("musica",)))
    union.add(withdrawal(sequence=1), WALL)
    assert union.add(entry(sequence=2), WALL) == entry(sequence=2)
    assert union.withdrawn == set()


def test_a_newer_entry_that_matches_no_more_takes_the_old_hit_away() -> None:
    union = Union(Query(("musica",)))
    union.add(entry(sequence=1), WALL)
    assert union.add(entry(sequence=2, words=("renamed",)), WALL) is None
    assert union.withdrawn == {PLACE}


def test_other_publishers_are_none_of_its_business() -> None:
    union = Union(Query(("musica",)))
    union.add(withdrawal(sequence=5), WALL)
    assert union.add(entry(by=2), WALL) == entry(by=2)


def test_what_is_past_is_nothing() -> None:
    union = Union(Query(("musica",)))
    assert union.add(entry(ttl=HOUR), WALL + HOUR) is None
    assert union.add(withdrawal(sequence=9, ttl=HOUR), WALL + HOUR) is None
    assert union.add(entry(sequence=1), WALL) is not None
