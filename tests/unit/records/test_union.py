"""What many holders answer, united: the latest word of each publisher counts."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.dht.records.entry import SignedRecord
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


RECORDS: list[SignedRecord] = [
    *(entry(number, sequence=sequence) for number in (1, 2) for sequence in (1, 3)),
    *(withdrawal(number, sequence=sequence) for number in (1, 2) for sequence in (2, 3)),
    entry(1, sequence=4, words=("renamed",)),
    entry(2, sequence=4, by=2),
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(RECORDS), max_size=20), st.randoms())
def test_what_is_left_in_the_end_does_not_depend_on_who_answered_first(came: list[SignedRecord], rng: Random) -> None:
    def left(records: list[SignedRecord]) -> set[bytes]:
        union = Union(Query(("musica",)))
        shown: dict[tuple[bytes, bytes], bytes] = {}
        for record in records:
            found = union.add(record, WALL)
            if found is not None:
                shown[found.publisher, found.content_hash] = found.raw
        return {raw for place, raw in shown.items() if place not in union.withdrawn}

    shuffled = came.copy()
    rng.shuffle(shuffled)
    assert left(shuffled) == left(came)
