"""How long an answer is waited for, and what is remembered of each address."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.peerbook import PeerBook
from dhtshare.dht.rtt import MAX_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS, START_SECONDS, RttEstimate
from dhtshare.dht.tokens import SAFE_AGE_SECONDS
from dhtshare.network import Address

ONE, OTHER = Address("81.2.3.4", 1), Address("81.2.3.5", 2)


def after(*samples: float) -> RttEstimate:
    estimate = RttEstimate()
    for sample in samples:
        estimate.add(sample)
    return estimate


def test_without_samples_the_start_value() -> None:
    assert RttEstimate().timeout() == START_SECONDS
    assert not RttEstimate().known


def test_the_first_sample_counts_in_full_and_later_ones_by_an_eighth() -> None:
    assert (after(0.1).smoothed, after(0.1).deviation) == (0.1, 0.05)
    second = after(0.1, 0.2)
    assert second.smoothed == pytest.approx(0.1125)
    assert second.deviation == pytest.approx(0.05 + (0.1 - 0.05) / 4)  # RFC 6298, section 2.3
    assert second.timeout() == pytest.approx(second.smoothed + 4 * second.deviation)


def test_steady_delays_bring_the_wait_down_to_them() -> None:
    assert after(*[0.3] * 60).timeout() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    ("samples", "timeout"), [([0.0004] * 20, MIN_TIMEOUT_SECONDS), ([5.0] * 3, MAX_TIMEOUT_SECONDS)]
)
def test_the_wait_stays_within_its_bounds(samples: list[float], timeout: float) -> None:
    assert after(*samples).timeout() == timeout


def test_most_answers_of_a_jittery_path_come_in_time() -> None:
    rng = random.Random(1)
    estimate, late = RttEstimate(), 0
    for number in range(2000):
        sample = 0.08 * rng.lognormvariate(0, 0.3)
        late += number > 20 and sample > estimate.timeout()
        estimate.add(sample)
    assert late < 20


def test_a_token_is_used_only_while_it_is_accepted_for_sure() -> None:
    book = PeerBook()
    assert book.token(ONE, 0.0) == b""
    book.answered(ONE, b"tokentok", 0.1, 100.0)
    assert book.token(ONE, 100.0 + SAFE_AGE_SECONDS - 1) == b"tokentok"
    assert book.token(ONE, 100.0 + SAFE_AGE_SECONDS) == b""
    assert book.token(OTHER, 100.0) == b""


def test_each_answer_brings_the_next_token_and_one_without_takes_none_away() -> None:
    book = PeerBook()
    book.answered(ONE, b"first---", 0.1, 0.0)
    book.answered(ONE, b"", 0.1, 10.0)
    assert book.token(ONE, 10.0) == b"first---"
    book.answered(ONE, b"second--", 0.1, 200.0)
    assert book.token(ONE, 450.0) == b"second--"
    book.forget_token(ONE)
    book.forget_token(OTHER)
    assert book.token(ONE, 450.0) == b""
    assert book.knows(ONE)


def test_an_answer_to_one_of_two_sendings_measures_nothing() -> None:
    """Karn's rule: nobody knows which of them it answers."""
    book = PeerBook()
    book.answered(ONE, b"tokentok", None, 0.0)
    assert book.rtt(ONE) == 0
    assert not book.scope_rtt.known
    assert book.timeout(ONE) == START_SECONDS


def test_an_unknown_address_is_given_the_wait_of_the_scope() -> None:
    book = PeerBook()
    for _ in range(50):
        book.answered(ONE, b"", 0.2, 0.0)
    assert book.timeout(OTHER) == book.scope_rtt.timeout() < START_SECONDS
    book.answered(OTHER, b"", 1.5, 0.0)
    assert book.timeout(OTHER) == MAX_TIMEOUT_SECONDS
    assert book.rtt(OTHER) == 1.5


def test_who_was_used_least_recently_is_forgotten_first() -> None:
    book = PeerBook(limit=3)
    places = [Address("81.2.3.4", port) for port in range(1, 5)]
    for place in places[:3]:
        book.answered(place, b"tokentok", 0.1, 0.0)
    book.answered(places[0], b"tokentok", 0.1, 1.0)
    book.answered(places[3], b"tokentok", 0.1, 2.0)
    assert [book.knows(place) for place in places] == [True, False, True, True]
    assert len(book) == 3


def test_the_book_of_a_flooded_node_stays_small() -> None:
    book = PeerBook()
    for number in range(5000):
        book.answered(Address("81.2.3.4", number + 1), b"tokentok", 0.1, float(number))
        assert len(book) <= 1024
    assert len(book) > 512
    assert all(book.knows(Address("81.2.3.4", number + 1)) for number in range(4500, 5000)), "the latest are known"
