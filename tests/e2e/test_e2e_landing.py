"""Where a fetch lands: names, existing files, reuse, resume, and what is left in the folder."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import JsonObject, Network, Node

MIB = 1 << 20


@pytest.fixture
def path(make_file: MakeFile) -> Path:
    return make_file("landing.bin", 3 * MIB)


@pytest.fixture
def published(nodes: list[Node], path: Path) -> JsonObject:
    return nodes[1].run("publish", path).result


def test_the_folder_is_made_with_its_parents(nodes: list[Node], path: Path, published: JsonObject) -> None:
    fetched = nodes[2].run("fetch", published["hash"], "-o", "a/b/c").result
    assert fetched["path"] == str(nodes[2].home.cwd / "a/b/c/landing.bin")


def test_the_same_bytes_there_already_are_reused(
    nodes: list[Node], path: Path, published: JsonObject, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / path.name).write_bytes(path.read_bytes())
    fetched = nodes[3].run("fetch", published["hash"], "-o", tmp_path / "out").result
    assert (fetched["downloaded"], fetched["reused"]) == (0, 3 * MIB)


def test_other_bytes_there_are_never_touched_unasked(
    nodes: list[Node], path: Path, published: JsonObject, tmp_path: Path
) -> None:
    target = tmp_path / "out" / path.name
    target.parent.mkdir()
    target.write_bytes(b"mine")
    failed = nodes[2].run("fetch", published["hash"], "-o", tmp_path / "out", code=2)
    assert "--overwrite" in failed.result["error"]["message"]
    assert target.read_bytes() == b"mine"

    renamed = nodes[2].run("fetch", published["hash"], "-o", tmp_path / "out", "--rename").result
    assert Path(renamed["path"]) != target
    assert Path(renamed["path"]).parent == target.parent
    assert Path(renamed["path"]).read_bytes() == path.read_bytes()
    assert target.read_bytes() == b"mine"

    replaced = nodes[2].run("fetch", published["hash"], "-o", tmp_path / "out", "--overwrite").result
    assert replaced["path"] == str(target)
    assert target.read_bytes() == path.read_bytes()
    nodes[2].run("fetch", published["hash"], "-o", tmp_path / "out", "--overwrite", "--rename", code=2)


def test_content_that_this_node_has_is_copied_not_fetched(
    nodes: list[Node], path: Path, published: JsonObject, tmp_path: Path
) -> None:
    fetched = nodes[1].run("fetch", published["hash"], "-o", tmp_path / "copy").result
    assert (fetched["downloaded"], fetched["reused"]) == (0, 3 * MIB)
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()


def test_an_unknown_hash_is_not_found_and_leaves_nothing(nodes: list[Node], tmp_path: Path) -> None:
    failed = nodes[2].run("fetch", "f" * 64, "-o", tmp_path / "out", "--timeout", 2, code=4)
    assert failed.result["error"]["code"] == 4
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def _throttled(network: Network) -> Node:
    """A node that fetches 4 MiB a second: slow enough to be caught in the middle."""
    return network.node("--max-download", "4M")


def test_ctrl_c_keeps_what_is_verified(
    shared_network: Network, nodes: list[Node], make_file: MakeFile, tmp_path: Path
) -> None:
    path = make_file("interrupted.bin", 24 * MIB)
    published = nodes[1].run("publish", path).result
    node = _throttled(shared_network)
    running = node.home.start("fetch", published["hash"], "-o", tmp_path / "out")
    running.wait_for_event("progress", lambda event: event["done"] >= 4 * MIB)
    running.signal(signal.SIGINT)
    stopped = running.finish()
    assert stopped.code == 130
    assert stopped.result["error"]["code"] == 130
    left = list((tmp_path / "out").iterdir())
    assert left
    assert all(entry.name.startswith(".") for entry in left), "until done there are only dot names"
    node.run("limit", "--max-download", "0")
    fetched = node.run("fetch", published["hash"], "-o", tmp_path / "out").result
    assert fetched["reused"] >= 3 * MIB
    assert fetched["reused"] + fetched["downloaded"] == 24 * MIB
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == [path.name]
    node.stop()


def test_a_killed_node_resumes(shared_network: Network, nodes: list[Node], make_file: MakeFile, tmp_path: Path) -> None:
    path = make_file("killed.bin", 32 * MIB)
    published = nodes[1].run("publish", path).result
    node = _throttled(shared_network)
    running = node.home.start("fetch", published["hash"], "-o", tmp_path / "out")
    seen = running.wait_for_event("progress", lambda event: event["done"] >= 12 * MIB)
    node.kill()
    assert running.finish().code != 0
    assert not (tmp_path / "out" / path.name).exists()
    again = node.home.node()
    fetched = again.run("fetch", published["hash"], "-o", tmp_path / "out").result
    assert fetched["reused"] >= seen["done"] - 8 * MIB, "at most 8 chunks are lost"
    assert fetched["reused"] + fetched["downloaded"] == 32 * MIB
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    again.stop()


def test_a_seed_that_dies_midway_is_replaced(
    shared_network: Network, nodes: list[Node], make_file: MakeFile, tmp_path: Path
) -> None:
    path = make_file("relay race.bin", 24 * MIB)
    mortal = shared_network.node()
    published = mortal.run("publish", path).result
    nodes[1].run("publish", path)
    node = _throttled(shared_network)
    running = node.home.start("fetch", published["hash"], "-o", tmp_path / "out")
    running.wait_for_event("progress", lambda event: event["done"] >= 4 * MIB)
    mortal.kill()
    node.run("limit", "--max-download", "0")
    done = running.finish(60)
    assert done.code == 0
    assert Path(done.result["path"]).read_bytes() == path.read_bytes()
    node.stop()


def test_a_folder_that_cannot_be_written_is_a_disk_error(
    nodes: list[Node], published: JsonObject, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    failed = nodes[2].run("fetch", published["hash"], "-o", tmp_path / "file" / "out", code=7)
    assert failed.result["error"]["code"] == 7
