"""One transfer is one bar, named as its file, from the first progress to its end."""

from __future__ import annotations

from dhtshare.cli.feed import Progress


def test_the_end_of_a_transfer_moves_the_same_bar() -> None:
    running = Progress.of({"event": "progress", "hash": "ab", "name": "a.bin", "done": 5, "total": 10})
    ended = Progress.of({"event": "finished", "hash": "ab", "name": "a.bin", "done": 10, "total": 10})
    assert running is not None
    assert ended is not None
    assert (running.key, running.label) == (ended.key, ended.label)
    assert ended.label == "a.bin"
    assert ended.complete


def test_hashing_the_same_content_is_another_bar() -> None:
    hashing = Progress.of({"event": "hashing", "name": "a.bin", "done": 5, "total": 10})
    running = Progress.of({"event": "progress", "hash": "ab", "name": "a.bin", "done": 5, "total": 10})
    assert hashing is not None
    assert running is not None
    assert hashing.key != running.key
    assert hashing.label == "hashing a.bin"
