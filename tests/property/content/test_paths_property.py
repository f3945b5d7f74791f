from __future__ import annotations

import ntpath
import posixpath
import re
import unicodedata

from hypothesis import assume, example, given
from hypothesis import strategies as st

from dhtshare.content.paths import check_collisions, check_relative_path, dot_name, is_unfinished, safe_name
from dhtshare.errors import MalformedError

awkward = st.sampled_from(
    [*'./\\:*?"<>| \0\x1b\x7f\x9b\u202e\u200b\u0301\u0338;éEeK\u212a', "con", "NUL", "com1", "\ud800"]
)
names = st.text(st.characters(codec=None), max_size=80) | st.lists(awkward, max_size=12).map("".join)
long_names = st.builds(lambda name, count: name * count, names, st.integers(1, 40))


def is_safe(path: str) -> bool:
    try:
        check_relative_path(path)
    except MalformedError:
        return False
    return True


@given(names | long_names)
@example("CON" + " " * 300)
@example("a" * 254 + ".b" * 3)
def test_every_name_becomes_a_safe_one(name: str) -> None:
    safe = safe_name(name)
    assert is_safe(safe)
    assert "/" not in safe
    assert safe_name(safe) == safe
    assert 0 < len(safe.encode()) <= 255
    assert unicodedata.is_normalized("NFC", safe)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f\\:*?\"<>|]", safe)


@given(names)
def test_a_part_is_safe_exactly_when_it_is_left_as_it_is(name: str) -> None:
    assume("/" not in name)
    assert is_safe(name) == (safe_name(name) == name)


@given(st.lists(names, min_size=1, max_size=6))
def test_a_path_is_safe_exactly_when_its_parts_are(parts: list[str]) -> None:
    assume(not any("/" in part for part in parts))
    assume(parts[-1])  # an empty last part makes it an empty folder
    assert is_safe("/".join(parts)) == all(map(is_safe, parts))


@given(st.text("ab./\\:C", max_size=12))
@example("a/b")
@example("C:x")
@example("..\\x")
def test_nothing_climbs_out_on_any_system(path: str) -> None:
    if is_safe(path):
        assert posixpath.normpath(posixpath.join("/target", path)) == "/target/" + path.removesuffix("/")
        windows = ntpath.normpath(ntpath.join("D:\\target", path))
        assert windows == "D:\\target\\" + path.removesuffix("/").replace("/", "\\")
    else:
        assert safe_name(path) != path or path.endswith("/")


@given(long_names.map(safe_name), long_names.map(safe_name))
def test_dot_names_fit_and_tell_names_apart(one: str, other: str) -> None:
    for name in (one, other):
        assert len(dot_name(name).encode()) <= 255
        assert is_unfinished(dot_name(name))
    assert (dot_name(one) == dot_name(other)) == (one == other)


folding = st.lists(st.sampled_from("aAbBéÉ"), min_size=1, max_size=2).map("".join)
folded_paths = st.lists(folding, min_size=1, max_size=3).map("/".join)


@given(st.lists(folded_paths, max_size=6))
def test_collisions_as_a_file_system_without_case_would_see_them(paths: list[str]) -> None:
    """The model keeps a tree of folded names, each with the one spelling under which it was made."""
    tree: dict[str, tuple[str, bool]] = {}
    collides = False
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            spelling, is_file = "/".join(parts[:depth]), depth == len(parts)
            made = tree.setdefault(spelling.casefold(), (spelling, is_file))
            collides |= made != (spelling, is_file)
        collides |= paths.count(path) > 1
    try:
        check_collisions(paths)
    except MalformedError:
        assert collides
    else:
        assert not collides
