"""Queries: what matches, which words are looked up, and which travel."""

from __future__ import annotations

from dhtshare.dht.records.query import MAX_SENT_WORD_BYTES, MAX_SENT_WORDS, Query, fitting_words
from tests.unit.records.records_fakes import entry


def test_the_longest_words_are_looked_up() -> None:
    assert Query(("a", "popular", "of", "musica", "brasil")).looked_up == ("popular", "brasil", "musica")
    assert Query(("one",)).looked_up == ("one",)


def test_the_order_of_words_changes_nothing() -> None:
    assert Query(("b", "a")).looked_up == Query(("a", "b")).looked_up
    assert Query(("b", "a")).sent == Query(("a", "b")).sent


def test_words_that_do_not_fit_stay_at_home_and_are_checked_there() -> None:
    words = tuple(f"{number:02}" + "w" * 58 for number in range(20))
    sent = Query(words).sent
    assert sum(len(word) + 2 for word in sent) <= MAX_SENT_WORD_BYTES
    assert set(sent) < set(words)
    assert len(fitting_words([str(number) for number in range(50)])) == MAX_SENT_WORDS
    assert not Query(words).matches(entry(words=words[:10]))


def test_what_matches() -> None:
    one = entry(words=("musica", "popular"), name="Música.MP3", size=10)
    assert Query(("popular",), extension="mp3", kind="file", min_size=10, max_size=10).matches(one)
    for query in (
        Query(("musica", "nova")),
        Query(("musica",), extension="ogg"),
        Query(("musica",), kind="collection"),
        Query(("musica",), min_size=11),
        Query(("musica",), max_size=9),
    ):
        assert not query.matches(one)
