"""Sizes, times, and foreign names that must never reach a terminal raw."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.cli.display import (
    chunk_map,
    counted,
    human_limit,
    human_rate,
    human_remaining,
    human_seconds,
    human_size,
    visible,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("Música – 01.mp3", "Música – 01.mp3"),
        ("中文 हिन्दी ελ", "中文 हिन्दी ελ"),
        ("", ""),
        ("a\x1b[31mred", "a<U+001B>[31mred"),
        ("two\nlines", "two<U+000A>lines"),
        ("tab\there", "tab<U+0009>here"),
        ("bell\a", "bell<U+0007>"),
        ("del\x7f", "del<U+007F>"),
        ("c1\x9b2J", "c1<U+009B>2J"),
        ("exe\u202egpj.scr", "exe<U+202E>gpj.scr"),
        ("zero\u200bwidth", "zero<U+200B>width"),
        ("join\u200der", "join<U+200D>er"),
        ("bom\ufeff", "bom<U+FEFF>"),
        ("isolate\u2066x\u2069", "isolate<U+2066>x<U+2069>"),
        ("line\u2028sep", "line<U+2028>sep"),
        ("filler\u3164", "filler<U+3164>"),
        ("braille\u2800blank", "braille<U+2800>blank"),
        ("selector\ufe0f", "selector<U+FE0F>"),
        ("tag\U000e0041", "tag<U+E0041>"),
        ("lone\udc80", "lone<U+DC80>"),  # how Python holds a file name that is no UTF-8
    ],
)
def test_a_foreign_name_is_made_visible(name: str, shown: str) -> None:
    assert visible(name) == shown


@given(st.text())
def test_nothing_hidden_ever_comes_through(name: str) -> None:
    shown = visible(name)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert visible(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P"], max_codepoint=0x10FF)).filter(str.isalnum))
def test_letters_and_digits_are_left_alone(name: str) -> None:
    if not {"\u115f", "\u1160"} & set(name):
        assert visible(name) == name


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),  # never '1024.0 KiB'
        (13_002_342, "12.4 MiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 62, "4096.0 PiB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert human_size(count) == shown


def test_rates_and_limits() -> None:
    assert human_rate(1536) == "1.5 KiB/s"
    assert human_limit(0) == "unlimited"
    assert human_limit(500 * 1024) == "500.0 KiB/s"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"),
        (0.4242, "0.42 s"),
        (12.4, "12 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7500, "2 h 05 min"),
        (47 * 3600, "47 h 00 min"),
        (76 * 3600, "3 d 4 h"),
    ],
)
def test_spans_of_time(seconds: float, shown: str) -> None:
    assert human_seconds(seconds) == shown


def test_estimates_have_no_hundredths() -> None:
    assert human_remaining(8.7) == "9 s left"
    assert human_remaining(59.7) == "1 min 00 s left"


def test_counts_agree_with_their_noun() -> None:
    assert counted(1, "peer") == "1 peer"
    assert counted(0, "peer") == "0 peers"
    assert counted(2, "copy", "copies") == "2 copies"


@pytest.mark.parametrize(
    ("have", "width", "shown"),
    [
        ("", 10, ""),
        ("8", 10, "█"),
        ("0808", 0, ""),
        ("0808", 4, "·█·█"),
        ("0808", 2, "▄▄"),
        ("08080", 3, "·▄▄"),
    ],
)
def test_a_chunk_map_fits_its_width(have: str, width: int, shown: str) -> None:
    assert chunk_map(have, width) == shown


@given(st.text("012345678", max_size=300), st.integers(-1, 120))
def test_a_chunk_map_is_never_wider_than_asked(have: str, width: int) -> None:
    assert len(chunk_map(have, width)) == max(0, min(width, len(have)))
