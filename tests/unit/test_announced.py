"""How well a library is held, in a line and in a warning."""

from __future__ import annotations

import dataclasses

from dhtshare.announced import LATE_SECONDS, announced, behind
from dhtshare.dht.records.receipts import Receipt

WALL = 1_700_000_000.0
GOOD = Receipt(
    keys=3, acks=38, holders=25, verified=3, quorum=True, alone=False, next_renewal=WALL + 11 * 3600, weakest=(18, 20)
)


def test_one_content_says_its_holders_that_it_was_read_back_and_when_it_renews() -> None:
    figures = announced([GOOD], shared=1, wall=WALL)
    assert figures["summary"] == "18 of 20 holders, read back, renews in 11 h"
    assert behind(figures) is None


def test_of_many_the_weakest_speaks_and_the_next_renewal() -> None:
    weaker = dataclasses.replace(GOOD, weakest=(6, 10), verified=2, next_renewal=WALL + 40 * 60)
    figures = announced([GOOD, weaker, GOOD], shared=4, wall=WALL)
    assert figures["summary"] == "at least 6 of 10 holders, 2 of 3 read back, renews in 40 min"
    assert (figures["shared"], figures["announced"], figures["acks"]) == (4, 3, 114)


def test_a_full_word_is_not_waited_for_when_reading_back() -> None:
    full = dataclasses.replace(GOOD, verified=2, full=("common",), no_room=1)
    assert announced([full], shared=1, wall=WALL)["read_back"] == 1
    assert announced([dataclasses.replace(full, no_room=0)], shared=1, wall=WALL)["read_back"] == 0


def test_below_quorum_and_late_are_warned_of() -> None:
    weak = dataclasses.replace(GOOD, quorum=False)
    late = dataclasses.replace(GOOD, next_renewal=WALL - LATE_SECONDS - 1)
    due = dataclasses.replace(GOOD, next_renewal=WALL - LATE_SECONDS + 1)
    assert behind(announced([GOOD, due], shared=2, wall=WALL)) is None
    warning = behind(announced([weak, late, GOOD], shared=3, wall=WALL))
    assert warning is not None
    assert "1 below quorum and 1 late to be renewed, of 3 shared" in warning


def test_alone_or_empty_is_said_and_is_no_failing() -> None:
    alone = Receipt(keys=2, acks=0, holders=0, verified=0, quorum=True, alone=True, next_renewal=WALL - 9999)
    for receipts, shared, summary in (
        ([], 0, "nothing is shared"),
        ([], 2, "being announced"),
        ([alone], 1, "no other node yet"),
    ):
        figures = announced(receipts, shared=shared, wall=WALL)
        assert figures["summary"] == summary
        assert behind(figures) is None


def test_overdue_by_a_moment_reads_as_now() -> None:
    assert "renews now" in announced([dataclasses.replace(GOOD, next_renewal=WALL - 5)], shared=1, wall=WALL)["summary"]
