"""A signature is checked once for the same bytes, and a bad one every time."""

from __future__ import annotations

import pytest

from dhtshare.dht.records.verifier import Verifier
from dhtshare.errors import MalformedError
from tests.unit.records.records_fakes import NETWORK, entry


def test_good_bytes_are_checked_once() -> None:
    verifier = Verifier(NETWORK)
    for _ in range(3):
        assert verifier.check(entry().raw) == entry()
    assert verifier.checks == 1


def test_bad_bytes_are_checked_and_refused_every_time() -> None:
    verifier = Verifier(NETWORK)
    raw = bytes([entry().raw[0] ^ 1]) + entry().raw[1:]
    for _ in range(2):
        with pytest.raises(MalformedError, match="not signed"):
            verifier.check(raw)
    assert verifier.checks == 2


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    verifier = Verifier(NETWORK, limit=2)
    for number in (1, 2, 3, 2, 3):
        verifier.check(entry(number).raw)
    assert verifier.checks == 3
    verifier.check(entry(1).raw)
    assert verifier.checks == 4
