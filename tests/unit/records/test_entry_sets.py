"""Sets under words: sequence numbers, withdrawals, renames, caps and fairness."""

from __future__ import annotations

import pytest

from dhtshare.dht.records.limits import StoreLimits, Verdict
from dhtshare.dht.records.store import RecordStore
from tests.unit.records.records_fakes import HOUR, WALL, content, entry, key, raws, store, withdrawal

NOW = 100.0


def put(kept: RecordStore, *args: object, tag: bytes = b"net", now: float = NOW, **more: object) -> list[Verdict]:
    record = entry(*args, **more)  # type: ignore[arg-type]
    return kept.put_entry(record, range(len(record.words)), tag, now=now, wall=WALL)


def test_an_entry_under_several_words_is_kept_once() -> None:
    kept = store()
    assert put(kept, words=("one", "two", "three")) == [Verdict.STORED] * 3
    assert kept.budget.records == 1
    assert [len(raws(kept, word)) for word in ("one", "two", "three")] == [1, 1, 1]


def test_only_words_that_were_asked_for_are_listed() -> None:
    kept = store()
    record = entry(words=("one", "two"))
    assert kept.put_entry(record, [1], b"net", now=NOW, wall=WALL) == [Verdict.STORED]
    assert raws(kept, "one") == []
    assert raws(kept, "two") == [record.raw]


def test_storing_again_changes_nothing() -> None:
    kept = store()
    for _ in range(3):
        assert put(kept, words=("one", "two")) == [Verdict.STORED] * 2
    assert kept.budget.records == 1
    assert kept.counts().entries == 1


def test_the_higher_sequence_number_stands() -> None:
    kept = store()
    put(kept, sequence=5)
    assert put(kept, sequence=4) == [Verdict.STALE]
    assert put(kept, sequence=5, size=2) == [Verdict.STALE]  # the same number for other bytes: first come
    assert put(kept, sequence=6) == [Verdict.STORED]
    assert raws(kept, "musica") == [entry(sequence=6).raw]


def test_a_newer_entry_replaces_the_old_one_under_all_its_words() -> None:
    kept = store()
    put(kept, words=("old", "both"), sequence=1)
    renamed = entry(words=("both", "new"), sequence=2)
    assert kept.put_entry(renamed, [1], b"net", now=NOW, wall=WALL) == [Verdict.STORED]
    assert raws(kept, "old") == []
    assert raws(kept, "both") == [renamed.raw]
    assert raws(kept, "new") == [renamed.raw]
    assert kept.budget.records == 1


def test_a_withdrawal_takes_the_place_of_the_entry_and_wins_over_its_replay() -> None:
    kept = store()
    put(kept, words=("one", "two"), sequence=1)
    taken_back = withdrawal(sequence=1)
    assert kept.withdraw(taken_back, [key("one")], now=NOW, wall=WALL) == [Verdict.STORED]
    assert raws(kept, "one") == raws(kept, "two") == [taken_back.raw]  # void is void under every word
    assert put(kept, words=("one", "two"), sequence=1) == [Verdict.STALE] * 2
    assert kept.counts().withdrawals == 1


def test_publishing_again_after_a_withdrawal_counts() -> None:
    kept = store()
    put(kept, words=("one", "two"), sequence=1)
    kept.withdraw(withdrawal(sequence=2), [key("one"), key("two")], now=NOW, wall=WALL)
    again = entry(words=("one", "three"), sequence=3)
    assert kept.put_entry(again, [0], b"net", now=NOW, wall=WALL) == [Verdict.STORED]
    assert raws(kept, "one") == [again.raw]
    assert raws(kept, "two") == [withdrawal(sequence=2).raw]  # the newer entry has not that word
    assert raws(kept, "three") == []


@pytest.mark.parametrize(
    ("taken_back", "verdict"),
    [
        (withdrawal(sequence=4), Verdict.STALE),
        (withdrawal(sequence=5), Verdict.STORED),
        (withdrawal(sequence=5, by=2), Verdict.UNKNOWN),  # somebody else's entry
        (withdrawal(2, sequence=5), Verdict.UNKNOWN),
        (withdrawal(sequence=5, ttl=-1), Verdict.EXPIRED),
        (withdrawal(sequence=5, ttl=26 * HOUR), Verdict.EXPIRED),
    ],
)
def test_whose_withdrawal_counts(taken_back: object, verdict: Verdict) -> None:
    kept = store()
    put(kept, sequence=5)
    assert kept.withdraw(taken_back, [key("musica")], now=NOW, wall=WALL) == [verdict]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ttl", "verdict"),
    [
        (-1, Verdict.EXPIRED),
        (0, Verdict.EXPIRED),
        (1, Verdict.STORED),
        (25 * HOUR, Verdict.STORED),
        (25 * HOUR + 1, Verdict.EXPIRED),
    ],
)
def test_an_expiry_past_or_too_far_ahead_is_refused(ttl: float, verdict: Verdict) -> None:
    assert put(store(), ttl=ttl) == [verdict]


def test_an_entry_ends_at_its_signed_expiry_however_often_it_is_stored() -> None:
    kept = store()
    for later in (0.0, HOUR):
        kept.put_entry(entry(ttl=2 * HOUR), [0], b"net", now=NOW + later, wall=WALL + later)
    assert kept.expire(now=NOW + 2 * HOUR - 1) == 0
    assert kept.expire(now=NOW + 2 * HOUR) == 1
    assert (kept.budget.records, kept.budget.bytes) == (0, 0)


def test_one_publisher_gets_no_more_than_its_share_of_a_word() -> None:
    kept = store(limits=StoreLimits(of_publisher_per_key=3))
    verdicts = [put(kept, number)[0] for number in range(5)]
    assert verdicts == [Verdict.STORED] * 3 + [Verdict.FULL] * 2
    assert put(kept, 9, by=2) == [Verdict.STORED]
    assert put(kept, 0, sequence=1) == [Verdict.STORED]  # a renewal needs no room


def test_a_full_word_says_so_and_stores_nothing() -> None:
    kept = store(limits=StoreLimits(entries_per_key=2))
    put(kept, 1)
    put(kept, 2)
    assert put(kept, 3, words=("musica", "other")) == [Verdict.FULL, Verdict.STORED]
    assert len(raws(kept, "musica")) == 2
    assert len(raws(kept, "other")) == 1


def test_a_crowd_from_one_network_gives_way_to_another_network() -> None:
    kept = store(limits=StoreLimits(entries_per_key=4))
    for number in range(4):
        put(kept, number, tag=b"crowd", ttl=HOUR * (number + 1))
    assert put(kept, 10, tag=b"alone") == [Verdict.STORED]
    assert content(0) not in [held.raw[70:102] for held in kept.set_of(key("musica"))]  # the oldest went
    assert put(kept, 11, tag=b"crowd") == [Verdict.FULL]


def test_a_node_that_is_full_lets_the_heaviest_network_go_first() -> None:
    kept = store(limits=StoreLimits(records=10))
    for number in range(8):
        put(kept, number, words=(f"w{number}",), tag=b"crowd", ttl=HOUR * (number + 1))
    put(kept, 20, words=("quiet",), tag=b"quiet", ttl=HOUR / 2)
    put(kept, 21, words=("quiet",), tag=b"quiet", ttl=HOUR / 2)
    assert put(kept, 30, words=("third",), tag=b"third") == [Verdict.STORED]
    assert kept.budget.records == 10
    assert raws(kept, "w0") == []
    assert len(raws(kept, "quiet")) == 2


def test_bytes_are_capped_too() -> None:
    one = len(entry().raw) + 300
    kept = store(limits=StoreLimits(bytes=3 * one + 50))
    for number in range(9):
        assert put(kept, number) == [Verdict.STORED]
        assert kept.budget.bytes <= 3 * one + 50
    assert kept.counts().entries == 3


def test_a_record_larger_than_the_cap_is_full_not_stored() -> None:
    kept = store(limits=StoreLimits(bytes=100))
    assert put(kept) == [Verdict.FULL]
    assert kept.budget.records == 0


def test_a_withdrawal_that_parts_in_two_needs_room_like_a_new_record() -> None:
    kept = store(limits=StoreLimits(records=2))
    put(kept, words=("one", "two"), sequence=1)
    put(kept, 2, words=("three",), tag=b"other")
    kept.withdraw(withdrawal(sequence=2), [key("one")], now=NOW, wall=WALL)
    assert kept.withdraw(withdrawal(sequence=3), [key("one")], now=NOW, wall=WALL) != [Verdict.STORED]
    assert kept.budget.records <= 2


def test_what_remains_of_a_withdrawal_that_parted_goes_like_any_record() -> None:
    kept = store(limits=StoreLimits(records=3))
    put(kept, words=("one", "two"), sequence=1)
    kept.withdraw(withdrawal(sequence=2), [key("one")], now=NOW, wall=WALL)
    kept.withdraw(withdrawal(sequence=3), [key("one")], now=NOW, wall=WALL)
    assert (raws(kept, "one"), raws(kept, "two")) == ([withdrawal(sequence=3).raw], [withdrawal(sequence=2).raw])
    for number in range(2, 6):
        put(kept, number, words=("three",), tag=b"net", ttl=25 * HOUR)
    assert (raws(kept, "one"), raws(kept, "two")) == ([], [])
    assert kept.budget.records == 3
    assert kept.expire(now=NOW + 26 * HOUR) == 3
    assert (kept.budget.records, kept.budget.bytes) == (0, 0)


def test_one_withdrawal_of_what_two_networks_stored_is_the_firsts() -> None:
    kept = store()
    put(kept, words=("one",), sequence=1, tag=b"first")
    put(kept, words=("two",), sequence=1, tag=b"second")
    taken_back = kept.withdraw(withdrawal(sequence=2), [key("one"), key("two")], now=NOW, wall=WALL)
    assert taken_back == [Verdict.STORED] * 2
    assert [kept.set_of(key(word))[0].tag for word in ("one", "two")] == [b"first"] * 2
    assert kept.expire(now=NOW + 25 * HOUR) == 1
    assert (kept.budget.records, kept.budget.bytes) == (0, 0)


def test_what_is_past_leaves_a_full_word_before_anybody_is_refused() -> None:
    kept = store(limits=StoreLimits(entries_per_key=2))
    put(kept, 1, ttl=HOUR)
    put(kept, 2, ttl=2 * HOUR)
    later = entry(3, ttl=24 * HOUR)
    assert kept.put_entry(later, [0], b"net", now=NOW, wall=WALL) == [Verdict.FULL]
    assert kept.put_entry(later, [0], b"net", now=NOW + HOUR, wall=WALL + HOUR) == [Verdict.STORED]
    assert raws(kept, "musica") == [entry(2, ttl=2 * HOUR).raw, later.raw]


def test_what_is_past_counts_no_longer_as_its_publishers_share() -> None:
    kept = store(limits=StoreLimits(of_publisher_per_key=1))
    put(kept, 1, ttl=HOUR)
    later = entry(2, ttl=24 * HOUR)
    assert kept.put_entry(later, [0], b"net", now=NOW, wall=WALL) == [Verdict.FULL]
    assert kept.put_entry(later, [0], b"net", now=NOW + HOUR, wall=WALL + HOUR) == [Verdict.STORED]
