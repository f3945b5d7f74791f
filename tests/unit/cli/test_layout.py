"""Blocks as plain lines and on a terminal: aligned, complete, and never raw."""

import io
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.cli.blocks import Block, Column, Fields, Line, Table
from dhtshare.cli.coloured import draw, terminal
from dhtshare.cli.objects import object_view, records_table, shown
from dhtshare.cli.plain import cell_width, plain_lines

COLUMNS = (Column("#", right=True), Column("name"), Column("size", right=True))


def plain(*blocks: Block) -> list[str]:
    return list(plain_lines(blocks))


def drawn(*blocks: Block, width: int = 60) -> str:
    console = terminal(io.StringIO())
    console.width = width
    draw(console, blocks)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_plain_table_is_aligned() -> None:
    assert plain(Table(COLUMNS, [("1", "a.txt", "12 B"), ("10", "longer name", "1.0 KiB")])) == [
        " #  name            size",
        " 1  a.txt           12 B",
        "10  longer name  1.0 KiB",
    ]


def test_wide_letters_take_two_columns_and_marks_none() -> None:
    assert cell_width("中文") == 4
    assert cell_width("e\u0301") == 1
    assert plain(Table((Column("n"), Column("x")), [("中文", "1"), ("abcd", "2")])) == ["n     x", "中文  1", "abcd  2"]


def test_plain_fields_are_aligned_and_lines_bare() -> None:
    assert plain(Line("Title", "bold"), Fields([("a", "1"), ("longer", "2")]), Fields([])) == [
        "Title",
        "a       1",
        "longer  2",
    ]


def test_an_empty_table_is_its_heading() -> None:
    assert plain(Table(COLUMNS, [])) == ["#  name  size"]


HOSTILE = "a\x1b[2J\u202eb\nc"
CLEAN = "a<U+001B>[2J<U+202E>b<U+000A>c"


def test_a_hostile_name_is_visible_in_every_block() -> None:
    blocks: list[Block] = [Line(HOSTILE), Fields([("x", HOSTILE)]), Table((Column("x"),), [(HOSTILE,)])]
    for block in blocks:
        assert CLEAN in "\n".join(plain(block))
        assert CLEAN in drawn(block)


@given(st.text(), st.text())
def test_no_text_steers_either_layout(name: str, value: str) -> None:
    blocks: list[Block] = [Line(name), Fields([("x", value)]), Table((Column("x"), Column("y")), [(name, value)])]
    for text in ("\n".join(plain(*blocks)), drawn(*blocks, width=400)):
        assert not set(text) & {chr(code) for code in (*range(10), *range(11, 32), 127, *range(128, 160))}
        assert "\u202e" not in text


def test_markup_and_emoji_codes_in_names_mean_nothing() -> None:
    assert "[red]x[/red] :smile:" in drawn(Line("[red]x[/red] :smile:"))


def test_a_narrow_terminal_folds_and_loses_nothing() -> None:
    name = "n" * 100
    assert drawn(Table(COLUMNS, [("1", name, "12 B")]), width=40).count("n") == 100 + "name".count("n")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m" in drawn(Line("x", "red"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in drawn(Line("x", "red"))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("size", 2048, "2.0 KiB"),
        ("peak_bytes", 1, "1 B"),
        ("upload_rate", 1024, "1.0 KiB/s"),
        ("max_upload", 0, "unlimited"),
        ("uptime", 61, "1 min 01 s"),
        ("contacts", 7, "7"),
        ("ratio", 0.123456, "0.1235"),
        ("reachable", True, "yes"),
        ("reachable", False, "no"),
        ("address", None, "–"),
        ("names", ["a", "b"], "a, b"),
        ("names", [], "–"),
        ("ids", {"lan": "x"}, "lan x"),
        ("kind", "file", "file"),
    ],
)
def test_values_show_their_unit(name: str, value: object, text: str) -> None:
    assert shown(name, value) == text


def test_a_moment_is_shown_as_the_time_on_the_clock_here() -> None:
    moment = datetime(2026, 3, 1, 12, 30, 5).astimezone()
    assert shown("next_renewal", moment.timestamp() + 0.4) == moment.isoformat(" ")


def test_any_object_is_shown_whole() -> None:
    result = {
        "node_id": "ab",
        "transfers": [{"name": "x", "size": 1024}, {"name": "y", "rate": 2048}],
        "traffic": {"sent": 1024, "by_kind": {"ping": 3}},
    }
    assert plain(*object_view(result)) == [
        "node id  ab",
        "transfers",
        "name     size       rate",
        "x     1.0 KiB          –",
        "y           –  2.0 KiB/s",
        "traffic",
        "sent  1.0 KiB",
        "traffic by kind",
        "ping  3",
    ]


def test_counts_by_number_fit_on_a_line() -> None:
    assert plain(*object_view({"buckets": {"17": 2, "18": 5}, "none": {}})) == ["buckets  17 2, 18 5", "none     –"]


def test_columns_of_numbers_stand_to_the_right() -> None:
    table = records_table([{"name": "a", "count": 5}, {"name": "b"}])
    assert [(column.title, column.right) for column in table.columns] == [("name", False), ("count", True)]
    assert table.rows[1] == ["b", "–"]
