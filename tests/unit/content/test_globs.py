from __future__ import annotations

import pytest

from dhtshare.content.globs import compile_globs
from dhtshare.errors import UsageError


@pytest.mark.parametrize(
    ("glob", "taken", "left"),
    [
        pytest.param("a.txt", ["a.txt"], ["b/a.txt", "a.txt2", "xa.txt", "aXtxt"], id="a file"),
        pytest.param("*.mp3", ["a.mp3", ".mp3"], ["cd/a.mp3", "a.mp4"], id="a star stops at a slash"),
        pytest.param("*", ["a", "b.c"], ["a/b"], id="a star is no folder"),
        pytest.param("cd/*", ["cd/a"], ["cd", "cd/x/a", "a"], id="a star in a folder"),
        pytest.param("cd*/*.mp3", ["cd1/a.mp3", "cd/b.mp3"], ["cd1/x/a.mp3", "a.mp3"], id="two stars"),
        pytest.param("**", ["a", "a/b/c"], [], id="two stars together take all"),
        pytest.param("**/*.mp3", ["a.mp3", "x/a.mp3", "x/y/a.mp3"], ["a.mp4"], id="any folders, none included"),
        pytest.param("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/bz", "z"], id="any folders in between"),
        pytest.param("a/**", ["a/b", "a/b/c"], ["ab"], id="all below"),
        pytest.param("a**z", ["az", "a/b/z"], ["ab"], id="two stars inside a name cross slashes too"),
        pytest.param("?.txt", ["a.txt", "é.txt"], ["ab.txt", "/.txt"], id="one character"),
        pytest.param("a?b", ["axb"], ["a/b", "ab"], id="one character but a slash"),
        pytest.param("[ab].txt", ["a.txt", "b.txt"], ["c.txt"], id="a set"),
        pytest.param("[!ab].txt", ["c.txt"], ["a.txt", "/.txt"], id="all but a set"),
        pytest.param("[0-9][0-9]*", ["01 x"], ["1 x"], id="ranges"),
        pytest.param("[]]", ["]"], ["[]]"], id="a closing bracket in a set"),
        pytest.param("[^a]", ["^", "a"], ["b"], id="a caret is a character"),
        pytest.param("[a", ["[a"], ["a"], id="an open bracket alone"),
        pytest.param("[]*", ["[]x", "[]"], ["x"], id="an empty set is no set"),
        pytest.param("[!]", ["[!]"], ["!"], id="nor is an empty negated one"),
        pytest.param("docs[!]", ["docs[!]/a"], ["docs!"], id="and so it names a folder"),
        pytest.param("[a&&b]", ["&", "a", "b"], ["c"], id="signs of other languages in a set"),
        pytest.param("docs", ["docs", "docs/a", "docs/a/b"], ["docs2", "a/docs"], id="a folder takes all below"),
        pytest.param("docs/", ["docs/a"], ["docs2/a"], id="a folder with its slash"),
        pytest.param("*/extra", ["cd1/extra", "cd1/extra/a"], ["extra/a"], id="a folder below any"),
        pytest.param("cd*/", ["cd1/a", "cd2/b/c"], ["a"], id="folders by pattern, said by the slash"),
        pytest.param("./a", ["a"], ["b"], id="from here"),
        pytest.param("A", ["A"], ["a"], id="case counts"),
        pytest.param("Mu\u0301sica", ["Música/a"], ["Musica"], id="decomposed as some keyboards type it"),
        pytest.param("a.b+c(d)|e$", ["a.b+c(d)|e$"], ["aXb+c(d)|e$", "e$"], id="signs of regular expressions"),
        pytest.param("a\nb*", ["a\nb"], ["a"], id="a line break"),
    ],
)
def test_globs(glob: str, taken: list[str], left: list[str]) -> None:
    pattern = compile_globs([glob])
    assert [path for path in taken + left if pattern.fullmatch(path)] == taken


def test_several_globs_unite() -> None:
    pattern = compile_globs(["*.mp3", "docs"])
    assert pattern.fullmatch("a.mp3")
    assert pattern.fullmatch("docs/a")
    assert not pattern.fullmatch("a.txt")


def test_no_globs_take_nothing() -> None:
    assert not compile_globs([]).fullmatch("")
    assert not compile_globs([]).fullmatch("a")


def test_an_impossible_range_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match=r"\[z-a\]"):
        compile_globs(["ok", "[z-a].txt"])
