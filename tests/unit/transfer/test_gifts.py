"""Who asks for what another was given a moment ago is sent away once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.transfer.gifts import RECENT_SECONDS, TOLD_SECONDS, Gifts

CONTENT = b"c" * 32


def gifts() -> Gifts[str]:
    kept: Gifts[str] = Gifts()
    kept.gave("one", CONTENT, 7, 10.0)
    return kept


def elsewhere(kept: Gifts[str], peer: str, chunk: int = 7, now: float = 10.1, *, begins: bool = True) -> bool:
    return kept.is_elsewhere(peer, CONTENT, chunk, now, begins=begins)


def test_another_is_sent_away_once() -> None:
    kept = gifts()
    assert elsewhere(kept, "two")
    assert not elsewhere(kept, "two")
    assert elsewhere(kept, "three")


def test_the_taker_and_other_chunks_and_contents_are_not_concerned() -> None:
    kept = gifts()
    assert not elsewhere(kept, "one")
    assert not elsewhere(kept, "two", chunk=8)
    assert not kept.is_elsewhere("two", b"d" * 32, 7, 10.1, begins=True)


def test_the_later_parts_of_a_chunk_go_the_way_of_the_first() -> None:
    kept = gifts()
    assert not elsewhere(kept, "two", begins=False), "its beginning was not refused"
    assert elsewhere(kept, "two")
    assert elsewhere(kept, "two", begins=False)
    assert not elsewhere(kept, "two")
    assert not elsewhere(kept, "two", begins=False)


def test_soon_all_know_of_it() -> None:
    kept = gifts()
    assert not elsewhere(kept, "two", now=10.0 + RECENT_SECONDS)
    assert len(kept) == 0


def test_those_who_have_gone_are_not_kept() -> None:
    kept = gifts()
    assert elsewhere(kept, "two")
    kept.forget(10.1 + TOLD_SECONDS)
    assert len(kept) == 0


def test_who_was_sent_away_is_not_again_when_others_take_it_meanwhile() -> None:
    """It would wait for ever behind them."""
    kept = gifts()
    assert elsewhere(kept, "two")
    for second in range(3):
        kept.gave("three", CONTENT, 7, 11.0 + second)
        assert not elsewhere(kept, "two", now=11.1 + second)
    kept.gave("three", CONTENT, 7, 10.1 + TOLD_SECONDS)
    assert elsewhere(kept, "two", now=10.1 + TOLD_SECONDS)
    assert len(kept) == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 40)), max_size=60))
def test_whoever_asks_again_is_served(steps: list[tuple[str, int, int]]) -> None:
    kept: Gifts[str] = Gifts()
    now = 0.0
    refused: dict[tuple[str, int], float] = {}
    for peer, chunk, passed in steps:
        now += passed / 8
        if kept.is_elsewhere(peer, CONTENT, chunk, now, begins=True):
            assert now - refused.get((peer, chunk), -99.0) >= TOLD_SECONDS
            refused[peer, chunk] = now
        else:
            kept.gave(peer, CONTENT, chunk, now)
        assert len(kept) <= 4 + 3 * 4
