"""A disk that is full or cannot be written, under the home or under the target: said, survived, and nothing lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.disk_faults.stories import MOST_CHUNKS_AGAIN, MOST_SECONDS
from tests.e2e.conftest import MakeFile
from tests.processes import Network, Node, eventually
from tests.small_disk import SmallDisk

MIB = 1 << 20
CHUNKS = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with SmallDisk(tmp_path / "disk") as disk:
            yield disk
    except PermissionError as error:
        pytest.skip(str(error))


def _right_chunks(part: Path, source: Path) -> int:
    """How many chunks of an unfinished file stand as they should."""
    held, right = part.read_bytes(), source.read_bytes()
    return sum(held[at : at + MIB] == right[at : at + MIB] for at in range(0, len(right), MIB))


def _listed(node: Node) -> set[str]:
    return {item["hash"] for item in node.run("list").result["items"]}


def test_a_disk_that_fills_up_during_a_fetch(network: Network, make_file: MakeFile, small_disk: SmallDisk) -> None:
    """Code 7 within 5 s of the write that fails, no final name, and of what stands a rerun fetches at most 2 chunks."""
    seed = network.node("--max-upload", "8M")
    path = make_file("wide.bin", CHUNKS * MIB)
    content = seed.run("publish", path).result["hash"]
    home, out = network.home(), small_disk.folder / "out"
    fetch = home.start("fetch", content, "-o", out, *network.join())
    fetch.wait_for_event("progress", lambda event: event["done"] >= 2 * MIB)
    small_disk.fill(leave=4 * MIB)
    assert eventually(lambda: small_disk.left == 0, every=0.005), "what was left is taken, and the next write fails"
    full = time.monotonic()
    failed = fetch.finish(60)
    took = time.monotonic() - full
    assert failed.code == 7
    assert "No space left" in failed.result["error"]["message"]
    assert "Free some space" in failed.result["error"]["message"]
    assert took <= MOST_SECONDS
    assert not (out / path.name).exists()
    small_disk.free()
    kept = _right_chunks(out / f".{path.name}.dhtshare-part", path)
    assert kept >= 2, "it had got somewhere"
    seed.run("limit", "--max-upload", "0")
    done = home.run("fetch", content, "-o", out, *network.join()).result
    assert Path(done["path"]).read_bytes() == path.read_bytes()
    assert done["downloaded"] + done["reused"] == CHUNKS * MIB
    assert done["downloaded"] // MIB - (CHUNKS - kept) <= MOST_CHUNKS_AGAIN


def test_a_node_outlives_a_full_disk_under_its_home(
    network: Network, make_file: MakeFile, small_disk: SmallDisk, tmp_path: Path
) -> None:
    """It serves, answers, says what it cannot do, ends well, and what was acknowledged is there again."""
    shared = tmp_path / "shared"
    shared.mkdir()
    other = network.node()
    home = network.home()
    home.path = small_disk.folder / "home"
    node = home.node("--share", shared)
    kept = node.run("publish", make_file("kept.bin", 3 * MIB)).result
    rotten = [node.run("publish", make_file(f"rotten {n}.txt")).result["hash"] for n in range(40)]
    small_disk.fill()
    for n in range(40):
        make_file(f"rotten {n}.txt", 999)  # states that cannot be noted now
    (shared / "late.txt").write_bytes(b"comes while nothing can be noted")
    refused = node.run("publish", *[make_file(f"late {n}.txt") for n in range(30)], code=None)
    assert refused.code in (0, 3, 7)
    assert "Traceback" not in refused.stderr
    assert eventually(lambda: "late.txt is not shared yet" in node.running.errors())
    fetched = other.run("fetch", kept["hash"], "-o", tmp_path / "out").result
    assert fetched["downloaded"] == 3 * MIB, "a full disk hinders no reading"
    for look in ("status", "list"):
        assert [text for text in node.run(look).result["warnings"] if "Not all states are as they are now" in text]
        assert "Not all states are as they are now" in node.run(look, json_output=False).stdout
    acknowledged = {line["hash"] for line in refused.results if "hash" in line} | {kept["hash"]}
    small_disk.free()
    os.utime(shared / "late.txt")  # a changed file is tried again at once, another in a minute
    assert eventually(lambda: len(_listed(node) - acknowledged - set(rotten)) == 1), (
        "what rested in the folder is shared now"
    )
    small_disk.fill()
    assert node.stop().code == 0
    small_disk.free()
    assert acknowledged <= _listed(home.node())


def test_a_node_does_not_start_in_a_home_that_cannot_be_written(network: Network, small_disk: SmallDisk) -> None:
    home = network.home()
    home.path = small_disk.folder / "home"
    home.node().stop()
    small_disk.remount("ro")
    try:
        for command in (["node", "--host", "127.0.0.1", "--port", 0, "--no-lan"], ["search", "word", "--no-lan"]):
            failed = home.run(*command, code=7)
            assert "Traceback" not in failed.stderr
            assert str(home.path) in failed.result["error"]["message"]
    finally:
        small_disk.remount("rw")
    home.node().stop()
