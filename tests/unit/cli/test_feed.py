"""What happens on the way, as lines and as bars."""

import io
from typing import Any

import pytest

from dhtshare.cli.bars import BarFeed, figures, shortened
from dhtshare.cli.feed import PlainFeed, Progress, plain_feed, sentence_of


class Watch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(done: int, **more: Any) -> dict[str, Any]:
    return {"event": "progress", "hash": "ab", "name": "file", "done": done, "size": 1000, **more}


def test_a_progress_is_known_by_its_fields() -> None:
    known = Progress.of(progress(10, rate=5.0, eta=198.0, peers=2, map="08"))
    assert known == Progress("progress ab", "file", 10, 1000, 5.0, 198.0, 2, "08")
    hashing = Progress.of({"event": "hashing", "name": "f", "done": 1, "total": 2})
    assert hashing == Progress("hashing f", "hashing f", 1, 2)
    assert Progress.of({"event": "verifying", "done": 1, "total": 2}) == Progress("verifying None", "verifying", 1, 2)
    assert Progress.of({"event": "peer", "size": 3}) is None
    assert Progress.of({"event": "progress", "done": "x", "size": 3}) is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (progress(250), "file: 250 B of 1000 B (25 %)"),
        (
            progress(250, rate=1024, eta=3.0, peers=1),
            "file: 250 B of 1000 B (25 %), 1.0 KiB/s, 3 s left, 1 peer",
        ),
        (progress(1000, eta=0.0), "file: 1000 B of 1000 B (100 %)"),
        (progress(250, peers=2, files=1, files_done=0), "file: 250 B of 1000 B (25 %), 2 peers, 0 of 1 file"),
        (progress(250, files=400, files_done=12), "file: 250 B of 1000 B (25 %), 12 of 400 files"),
        ({"event": "progress", "done": 0, "size": 0, "name": "empty"}, "empty: 0 B of 0 B (100 %)"),
    ],
)
def test_a_progress_as_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    known = Progress.of(fields)
    assert known is not None
    assert known.sentence() == sentence


def test_lines_come_now_and_then_and_not_for_what_is_quick() -> None:
    lines: list[str] = []
    clock = Watch()
    feed = PlainFeed(lines.append, verbose=False, clock=clock)
    feed.show(progress(0))
    clock.now = 1.9
    feed.show(progress(100))
    assert lines == []
    clock.now = 2.0
    feed.show(progress(200))
    clock.now = 3.9
    feed.show(progress(300))
    clock.now = 4.0
    feed.show(progress(400))
    feed.close()
    assert [line.split(" of")[0] for line in lines] == ["file: 200 B", "file: 400 B"]


def test_each_transfer_has_its_own_pace() -> None:
    lines: list[str] = []
    clock = Watch()
    feed = PlainFeed(lines.append, verbose=False, clock=clock)
    feed.show(progress(1))
    clock.now = 2.5
    feed.show(progress(2))
    feed.show({**progress(3), "hash": "cd"})
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("fields", "quiet", "verbose"),
    [
        ({"event": "message", "message": "said"}, "said", "said"),
        ({"event": "warning", "message": "careful"}, "careful", "careful"),
        ({"event": "peer", "address": "h:1"}, None, "peer: address h:1"),
        ({"event": "announced"}, None, "announced"),
        ({"event": "hit", "name": "x"}, None, None),
        ({"event": "failed", "target": "x"}, None, None),
        ({"event": "searching", "hash": "ab"}, "Looking for peers …", "Looking for peers …"),
    ],
)
def test_what_an_event_says(fields: dict[str, Any], quiet: str | None, verbose: str | None) -> None:
    assert sentence_of(fields, verbose=False) == quiet
    assert sentence_of(fields, verbose=True) == verbose


def test_a_false_chunk_is_always_told() -> None:
    assert "h:1" in (sentence_of({"event": "chunk_bad", "address": "h:1"}, verbose=False) or "")


def test_ready_tells_where() -> None:
    ready = {"event": "ready", "node_id": "ab", "address": "127.0.0.1:4470", "contacts": 1}
    said = sentence_of(ready, verbose=False) or ""
    assert "127.0.0.1:4470" in said
    assert "1 contact" in said


def test_foreign_names_in_events_are_made_visible() -> None:
    stream = io.StringIO()
    feed = plain_feed(stream, verbose=True)
    feed.show({"event": "peer", "name": "a\x1b[2J"})
    feed.show({"event": "message", "message": "two\nlines"})
    assert stream.getvalue() == "peer: name a<U+001B>[2J\ntwo<U+000A>lines\n"


def bars(*events: dict[str, Any], verbose: bool = False, width: int = 100) -> str:
    stream = io.StringIO()
    feed = BarFeed(stream, verbose=verbose)
    feed._console.width = width
    for event in events:
        feed.show(event)
    region = feed._region()
    feed._console.print(region)
    feed.close()
    feed.close()
    return stream.getvalue()


def test_one_bar_per_transfer_with_its_figures() -> None:
    text = bars(progress(250, rate=1024.0, eta=3.0, peers=4), {**progress(1), "hash": "cd", "name": "other"})
    assert "250 B / 1000 B  1.0 KiB/s  3 s left  4 peers" in text
    assert "other" in text


def test_the_chunk_map_shows_with_verbose_only() -> None:
    event = progress(1, map="0088")
    assert "··██" in bars(event, verbose=True)
    assert "·" not in bars(event)


def test_files_of_a_collection_are_counted_and_with_verbose_shown() -> None:
    current = [{"path": "docs/film\u202e.mkv", "chunks": 5, "chunks_done": 2}]
    event = progress(1, files=9, files_done=3, current=current)
    assert "3 of 9 files" in bars(event)
    assert "film" not in bars(event)
    shown = bars({**event, "map": "08"}, verbose=True)
    assert " 40 % docs/film<U+202E>.mkv" in shown


def test_hits_show_as_they_come_the_newest_last() -> None:
    text = bars(*({"event": "hit", "name": f"n{number}", "size": 1024} for number in range(20)))
    assert "n19  1.0 KiB" in text
    assert "n3 " not in text
    assert "20 hits so far" in text


def test_sentences_scroll_by_above() -> None:
    assert "said" in bars({"event": "message", "message": "said"})
    assert "x<U+202E>" in bars({"event": "hit", "name": "x\u202e"}, {"event": "message", "message": "m"})


def test_a_label_keeps_its_extension() -> None:
    assert shortened("a" * 50 + ".mkv", 20) == "aaaaaaaaa…aaaaaa.mkv"
    assert shortened("short.mkv", 20) == "short.mkv"


def test_figures_say_what_is_known() -> None:
    assert figures(Progress("k", "l", 0, 10)) == "0 B / 10 B"
    assert figures(Progress("k", "l", 10, 10, eta=0.0, peers=0)) == "10 B / 10 B  0 peers"
