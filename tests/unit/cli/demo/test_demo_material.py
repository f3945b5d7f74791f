"""What a demo publishes: found on any machine, and compared as a publish sees it."""

from __future__ import annotations

import os
import sysconfig
import unicodedata
from pathlib import Path

import pytest

from dhtshare.cli.demo import material
from dhtshare.cli.demo.material import (
    Material,
    expected_files,
    found_files,
    found_folders,
    gather,
    generate,
    pattern_for,
    regular_files,
    roomy_folder,
    same_bytes,
)
from dhtshare.content.globs import compile_globs
from dhtshare.errors import DiskError, UsageError

LIBRARY = Path(sysconfig.get_path("stdlib"))


def test_this_python_has_files_and_a_folder_to_share() -> None:
    files, folders = found_files(LIBRARY), found_folders(LIBRARY)
    assert len(files) >= 2
    assert all(path.is_file() and path.stat().st_size for path in files)
    assert len({path.resolve() for path in files}) == len(files), "no file twice, whatever links to it"
    assert len(folders) == 1
    assert any(name.endswith(".py") for name in regular_files(folders[0]))


def test_given_paths_are_used_and_what_the_story_lacks_is_found(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    chosen = gather([mine])
    assert chosen.files == (mine,)
    assert chosen.folders == found_folders(LIBRARY)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"12345")
    chosen = gather([folder, mine])
    assert (chosen.files, chosen.folders) == ((mine,), (folder,))
    assert chosen.size == 4 + 5


def test_an_empty_folder_is_no_folder_to_fetch_part_of(tmp_path: Path) -> None:
    assert gather([tmp_path]).folders == found_folders(LIBRARY)


def test_a_missing_path_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        gather([tmp_path / "nowhere"])


def test_a_folder_that_may_not_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> dict[str, Path]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(material, "regular_files", refuse)
    with pytest.raises(DiskError, match="Permission denied"):
        gather([tmp_path])


def test_files_of_a_folder_are_those_that_a_publish_takes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.py").write_bytes(b"b")
    (tmp_path / "a.py").write_bytes(b"a")
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    os.mkfifo(tmp_path / "pipe.py")
    decomposed = unicodedata.normalize("NFD", "é.txt")
    (tmp_path / decomposed).write_bytes(b"e")
    files = regular_files(tmp_path)
    assert set(files) == {"a.py", "sub/b.py", "é.txt"}
    assert files["é.txt"].name == decomposed


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a.py", "b/c.py", "d.txt"], "**.py"),
        (["a.py", "b.txt", "c.txt", *(f"__pycache__/{letter}.pyc" for letter in "abc")], "**.txt"),
        (["README", "Makefile"], "**"),
        ([], "**"),
        (["odd.[x", "odd.[y", "plain.c"], "**.c"),  # a suffix with a bracket would be a set
    ],
)
def test_the_pattern_takes_the_most_common_suffix(names: list[str], pattern: str) -> None:
    assert pattern_for(names) == pattern


def test_the_pattern_means_to_fetch_what_it_means_here(tmp_path: Path) -> None:
    for name in ("a.py", "x/y/b.py", "x/c.txt", "py", "d.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"-")
    pattern = pattern_for(regular_files(tmp_path))
    taken = {name for name in regular_files(tmp_path) if compile_globs([pattern]).fullmatch(name)}
    assert set(expected_files(tmp_path, pattern)) == taken == {"a.py", "x/y/b.py"}


@pytest.mark.parametrize("size", [0, 1, material.PIECE, material.PIECE + 1])  # none, less, exactly, more than a piece
def test_a_generated_file_has_its_size_and_equals_only_itself(tmp_path: Path, size: int) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    generate(one, size)
    generate(other, size)
    assert one.stat().st_size == size
    assert same_bytes(one, one)
    assert same_bytes(one, other) is (size == 0 or one.read_bytes() == other.read_bytes())


def test_files_differ_in_their_last_byte_and_by_length(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x" * material.PIECE + b"a")
    other.write_bytes(b"x" * material.PIECE + b"b")
    assert not same_bytes(one, other)
    other.write_bytes(b"x" * material.PIECE)
    assert not same_bytes(one, other)


def test_too_little_space_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "_free", lambda place: 1000)
    with pytest.raises(DiskError, match="TMPDIR"):
        roomy_folder(1)


def test_a_small_tmp_gives_way_to_a_larger_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(material.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(material, "_free", lambda place: 10 if place == tmp_path else 1 << 40)
    assert roomy_folder(1) == Path("/var/tmp")
    monkeypatch.setattr(material, "_free", lambda place: 1 << 40)
    assert roomy_folder(1) == tmp_path


def test_paths_are_files_then_folders(tmp_path: Path) -> None:
    assert Material((tmp_path / "f",), (tmp_path / "d",)).paths == (tmp_path / "f", tmp_path / "d")
