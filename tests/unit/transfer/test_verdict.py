"""Why a fetch ends: the error's kind is its exit code, its sentence says what to do."""

from __future__ import annotations

import pytest

from dhtshare.errors import DhtshareError, IntegrityError, NetworkError, NotFoundError
from dhtshare.transfer.verdict import Verdict


@pytest.mark.parametrize(
    ("answered", "liars", "known", "peers", "kind", "words"),
    [
        (0, 0, 0, 0, NotFoundError, "Nobody who has this content was found within 30 s"),
        (0, 0, 7, 0, NetworkError, "None of 7 known providers answered"),
        (3, 0, 7, 2, NetworkError, "Nothing came from 3 peers for 30 s. Run it again to resume."),
        (1, 1, 1, 0, IntegrityError, "false data"),
        (2, 1, 2, 1, NetworkError, "Nothing came from 2 peers"),  # somebody honest is left, and silent
    ],
)
def test_what_is_said(answered: int, liars: int, known: int, peers: int, kind: type[DhtshareError], words: str) -> None:
    verdict = Verdict(30.0)
    verdict.answered, verdict.liars = answered, liars
    reason = verdict.reason(known, peers, "")
    assert type(reason) is kind
    assert words in str(reason)


def test_what_is_lacking_is_said() -> None:
    verdict = Verdict(60.0)
    verdict.answered = 1
    assert "4 of its chunks are held by none." in str(verdict.reason(1, 1, "4 of its chunks are held by none."))


@pytest.mark.parametrize(
    ("liars", "peers", "idle", "hopeless"),
    [(0, 0, True, False), (1, 0, True, True), (1, 1, True, False), (1, 0, False, False)],
)
def test_hopeless_only_after_lies_with_nobody_left(liars: int, peers: int, idle: bool, hopeless: bool) -> None:
    verdict = Verdict(60.0)
    verdict.liars = liars
    assert verdict.hopeless(peers, idle=idle) is hopeless
