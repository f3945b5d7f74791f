from __future__ import annotations

import pytest

from dhtshare.content.paths import (
    MAX_PATH_BYTES,
    MAX_PATH_PARTS,
    PART_SUFFIX,
    check_collisions,
    check_relative_path,
    dot_name,
    is_unfinished,
    safe_name,
)
from dhtshare.errors import MalformedError


@pytest.mark.parametrize("path", ["a", "a/b", "a/b/", "a b/ü", "a/.b/..c", "/".join("x" * MAX_PATH_PARTS)])
def test_safe_paths(path: str) -> None:
    check_relative_path(path)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"),
        ("/", "empty"),
        ("/a", "absolute"),
        ("a//b", "empty"),
        ("a//", "empty"),
        ("./a", "'.'"),
        ("a/./b", "'.'"),
        ("a/..", "'..'"),
        ("../", "'..'"),
        ("a\\b", "forbidden|one of"),
        ("a/b\u202ec", "invisible"),
        ("a/e\u0301", "normal form"),
        ("a/b.", "dot or a space"),
        ("a /b", "dot or a space"),
        ("a/nul/b", "reserved"),
        ("a/" + "é" * 128, "255 bytes"),
        ("a/" + "x" * 256, "255 bytes"),
        ("/".join("x" * (MAX_PATH_PARTS + 1)), "folders deep"),
        ("/".join(["x" * 250] * 9), f"{MAX_PATH_BYTES} bytes"),
    ],
)
def test_unsafe_paths_are_refused_with_the_reason(path: str, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        check_relative_path(path)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([], id="nothing"),
        pytest.param(["a", "b", "c/a", "d/"], id="different names"),
        pytest.param(["a/x", "a/y", "a/b/x"], id="the same folder"),
        pytest.param(["a", "ab/c"], id="a file whose name begins a folder's"),
        pytest.param(["a.b", "a/b"], id="a dot is no separator"),
        pytest.param(["ä", "a"], id="accents tell apart"),
        pytest.param(["a/b/", "a/c/"], id="empty folders side by side"),
    ],
)
def test_paths_that_stand_side_by_side(paths: list[str]) -> None:
    check_collisions(paths)
    check_collisions(list(reversed(paths)))


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(["a", "a"], id="twice"),
        pytest.param(["README", "readme"], id="case"),
        pytest.param(["É", "é"], id="case beyond ASCII"),
        pytest.param(["Straße", "STRASSE"], id="full case folding"),
        pytest.param(["ΑΣ", "ας"], id="final sigma"),
        pytest.param(["x/é", "x/e\u0301"], id="normal forms"),
        pytest.param(["A/x", "a/y"], id="folders by case"),
        pytest.param(["q/A/x", "q/a/y"], id="folders by case further down"),
        pytest.param(["Q/a/x", "q/b/y"], id="folders by case further up"),
        pytest.param(["a", "a/b"], id="a file that is a folder"),
        pytest.param(["A", "a/b/c"], id="a file that is a folder, by case"),
        pytest.param(["a/", "a/b"], id="an empty folder that is not empty"),
        pytest.param(["a", "a/"], id="a file that is an empty folder"),
        pytest.param(["A/", "a/"], id="empty folders by case"),
    ],
)
def test_collisions_are_refused_in_either_order(paths: list[str]) -> None:
    with pytest.raises(MalformedError, match="side by side"):
        check_collisions(paths)
    with pytest.raises(MalformedError, match="side by side"):
        check_collisions(list(reversed(paths)))


def test_a_collision_names_both_paths() -> None:
    with pytest.raises(MalformedError, match=r"'docs/readme'.*'docs/README'|'docs/README'.*'docs/readme'"):
        check_collisions(["docs/README", "other", "docs/readme"])


def test_dot_names() -> None:
    assert dot_name("song.mp3") == ".song.mp3.dhtshare-part"
    assert dot_name("song.mp3", ".tmp") == ".song.mp3.tmp"
    assert is_unfinished(dot_name("song.mp3"))
    assert not is_unfinished("song.mp3.dhtshare-part")
    assert not is_unfinished(".song.mp3")


def test_a_dot_name_that_fits_to_the_byte_is_not_shortened() -> None:
    room = 255 - 1 - len(PART_SUFFIX)
    assert dot_name("x" * room) == "." + "x" * room + PART_SUFFIX
    assert len(dot_name("x" * (room + 1)).encode()) == 255


def test_long_names_get_dot_names_that_differ() -> None:
    one, other = "東" * 83 + "1.mp3", "東" * 83 + "2.mp3"
    assert safe_name(one) == one
    assert safe_name(other) == other
    assert dot_name(one) != dot_name(other)
    for name in (dot_name(one), dot_name(other), dot_name("東" * 85)):
        assert is_unfinished(name)
        assert len(name.encode()) <= 255
