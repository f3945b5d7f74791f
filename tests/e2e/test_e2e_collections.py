"""Folders published as one content: whole, in part, and what is in them found alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import JsonObject, Node

MIB = 1 << 20


def _tree(folder: Path) -> dict[str, bytes | None]:
    """Relative path → bytes; None for an empty folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


@pytest.fixture
def folder(make_file: MakeFile) -> Path:
    """Small and large files, a script, an empty folder, names in two scripts, and two files that are the same."""
    root = make_file("shelf/readme.md").parent
    make_file("shelf/docs/guide.md", 10)
    make_file("shelf/docs/deep/notes.txt", 0)
    make_file("shelf/media/film.mkv", 3 * MIB + 7)
    make_file("shelf/media/música.ogg", MIB)
    (root / "docs" / "same.md").write_bytes((root / "readme.md").read_bytes())
    make_file("shelf/run.sh", 20).chmod(0o755)
    (root / "empty").mkdir()
    return root


@pytest.fixture
def published(nodes: list[Node], folder: Path) -> JsonObject:
    return nodes[1].run("publish", folder).result


def test_a_folder_arrives_whole(nodes: list[Node], folder: Path, published: JsonObject) -> None:
    assert (published["kind"], published["files"], published["name"]) == ("collection", 7, "shelf")
    assert published["size"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    fetched = nodes[2].run("fetch", published["hash"], "-o", "whole").result
    got = Path(fetched["path"])
    assert got == nodes[2].home.cwd / "whole" / "shelf"
    assert _tree(got) == _tree(folder)
    assert (got / "run.sh").stat().st_mode & 0o111
    assert not (got / "readme.md").stat().st_mode & 0o111
    assert [path.name for path in got.parent.iterdir()] == ["shelf"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["*.md"], {"readme.md"}),  # a star stops at a slash
        (["**.md"], {"readme.md", "docs/guide.md", "docs/same.md"}),
        (["docs"], {"docs/guide.md", "docs/same.md", "docs/deep/notes.txt"}),  # a folder's name takes all below it
        (["media/*.ogg", "run.sh"], {"media/música.ogg", "run.sh"}),
    ],
)
def test_only_takes_part(
    nodes: list[Node], folder: Path, published: JsonObject, globs: list[str], expected: set[str], tmp_path: Path
) -> None:
    only = [option for glob in globs for option in ("--only", glob)]
    fetched = nodes[3].run("fetch", published["hash"], "-o", tmp_path / "part", *only, "--no-seed").result
    whole = _tree(folder)
    assert _tree(Path(fetched["path"])) == {name: whole[name] for name in expected}
    assert fetched["size"] == sum(len(whole[name] or b"") for name in expected)
    assert fetched["downloaded"] + fetched["reused"] == fetched["size"]


def test_only_without_a_match_is_not_found(nodes: list[Node], published: JsonObject) -> None:
    nodes[3].run("fetch", published["hash"], "-o", "none", "--only", "*.iso", code=4)


def test_a_part_grows_into_the_whole(nodes: list[Node], folder: Path, published: JsonObject, tmp_path: Path) -> None:
    nodes[3].run("fetch", published["hash"], "-o", tmp_path, "--only", "media", "--no-seed")
    fetched = nodes[3].run("fetch", published["hash"], "-o", tmp_path, "--no-seed").result
    assert fetched["reused"] >= 4 * MIB
    assert _tree(Path(fetched["path"])) == _tree(folder)


def test_large_members_are_found_alone_and_small_ones_with_each(nodes: list[Node], make_file: MakeFile) -> None:
    folder = make_file("crate/big walrus.bin", MIB).parent
    make_file("crate/small walrus.bin", 100)
    nodes[1].run("publish", folder)
    names = {hit["name"] for hit in nodes[2].run("search", "walrus", "--kind", "file").result["results"]}
    assert names == {"big walrus.bin"}
    nodes[1].run("publish", folder, "--each")
    hits = nodes[2].run("search", "walrus", "--kind", "file").result["results"]
    assert {hit["name"] for hit in hits} == {"big walrus.bin", "small walrus.bin"}
    for hit in hits:
        fetched = nodes[2].run("fetch", hit["hash"], "-o", "walruses").result
        assert Path(fetched["path"]).read_bytes() == (folder / hit["name"]).read_bytes()


def test_symbolic_links_and_pipes_are_skipped(nodes: list[Node], make_file: MakeFile, tmp_path: Path) -> None:
    folder = make_file("linked/real.txt").parent
    (folder / "link.txt").symlink_to(folder / "real.txt")
    (folder / "away").symlink_to(tmp_path)
    published = nodes[1].run("publish", folder).result
    assert published["files"] == 1
    fetched = nodes[2].run("fetch", published["hash"], "-o", "linked").result
    assert set(_tree(Path(fetched["path"]))) == {"real.txt"}


def test_an_empty_folder_is_said(nodes: list[Node], tmp_path: Path) -> None:
    (tmp_path / "void space").mkdir()
    failed = nodes[1].run("publish", tmp_path / "void space", code=2)
    assert "nothing to share" in failed.result["error"]["message"]


def test_many_small_files_arrive(nodes: list[Node], make_file: MakeFile) -> None:
    for number in range(400):
        last = make_file(f"swarm of ants/{number % 7}/{number}.txt", number)
    folder = last.parents[1]
    published = nodes[1].run("publish", folder).result
    fetched = nodes[2].run("fetch", published["hash"], "-o", "ants").result
    assert _tree(Path(fetched["path"])) == _tree(folder)
