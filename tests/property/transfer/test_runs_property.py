"""Chunks survive the way into runs and back, and no run of a peer's leads outside the content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.messages import MAX_RUNS
from dhtshare.transfer.runs import bits_of, bits_of_runs, runs_of


@given(st.sets(st.integers(0, 2000)))
def test_chunks_come_back(chunks: set[int]) -> None:
    messages = list(runs_of(chunks))
    assert all(0 < len(runs) <= 2 * MAX_RUNS and len(runs) % 2 == 0 for runs in messages)
    bits = 0
    for runs in messages:
        told = bits_of_runs(runs, 2001)
        assert told
        assert not bits & told
        bits |= told
    assert bits == bits_of(chunks)


def test_runs_are_as_long_as_they_can_be() -> None:
    assert list(runs_of([5, 3, 4, 9, 5])) == [(3, 3, 9, 1)]
    assert list(runs_of([])) == []
    assert [len(runs) for runs in runs_of(range(0, 4 * MAX_RUNS + 2, 2))] == [2 * MAX_RUNS, 2 * MAX_RUNS, 2]


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 40))
def test_nothing_outside_the_content_is_ever_told(runs: list[int], chunks: int) -> None:
    try:
        bits = bits_of_runs(tuple(runs), chunks)
    except RemoteProtocolError:
        return
    assert bits >> chunks == 0


@pytest.mark.parametrize("runs", [(1,), (0, 1, 2), (9, 2), (10, 1), (0, 11)])
def test_half_a_run_and_what_does_not_exist_are_the_peers_fault(runs: tuple[int, ...]) -> None:
    with pytest.raises(RemoteProtocolError):
        bits_of_runs(runs, 10)
