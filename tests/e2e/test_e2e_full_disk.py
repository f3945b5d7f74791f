"""A disk that is full or cannot be written, under the home or under the target: said, survived, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import Network, Node, eventually

MIB = 1 << 20
CHUNKS = 24
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a small disk needs mount, and the right to"
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 160 MiB: a home or some chunks fit beside what is always left free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mount is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(disk: Path, leave: int = 0) -> Path:
    """Takes all that is free but `leave` bytes."""
    filler = disk / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
    if not leave:
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
    return filler


def _listed(node: Node) -> set[str]:
    return {item["hash"] for item in node.run("list").result["items"]}


def test_a_disk_that_fills_up_during_a_fetch(network: Network, make_file: MakeFile, small_disk: Path) -> None:
    """Code 7 within 5 s, no final name, and a rerun fetches at most 2 chunks again."""
    seed = network.node("--max-upload", "8M")
    path = make_file("wide.bin", CHUNKS * MIB)
    content = seed.run("publish", path).result["hash"]
    home, out = network.home(), small_disk / "out"
    fetch = home.start("fetch", content, "-o", out, *network.join())
    fetch.wait_for_event("progress", lambda event: event["done"] >= 2 * MIB)
    filler = _fill(small_disk, leave=4 * MIB)
    filled = time.monotonic()
    failed = fetch.finish(60)
    took = time.monotonic() - filled
    assert failed.code == 7
    assert "No space left" in failed.result["error"]["message"]
    assert "Free some space" in failed.result["error"]["message"]
    assert took < 4 * MIB / (8 * MIB) + 5 + 2, "the space that was left, 5 s, and the machine's own slowness"
    assert not (out / path.name).exists()
    filler.unlink()
    written = int(seed.run("status").result["transfers"]["uploaded"]) // MIB
    seed.run("limit", "--max-upload", "0")
    done = home.run("fetch", content, "-o", out, *network.join()).result
    assert Path(done["path"]).read_bytes() == path.read_bytes()
    assert done["downloaded"] + done["reused"] == CHUNKS * MIB
    assert done["reused"] >= 2 * MIB
    assert written - done["reused"] // MIB <= 2 + 8, "of the chunks sent, those in flight were never written"


def test_a_node_outlives_a_full_disk_under_its_home(
    network: Network, make_file: MakeFile, small_disk: Path, tmp_path: Path
) -> None:
    """It serves, answers, says what it cannot do, ends well, and what was acknowledged is there again."""
    shared = tmp_path / "shared"
    shared.mkdir()
    other = network.node()
    home = network.home()
    home.path = small_disk / "home"
    node = home.node("--share", shared)
    kept = node.run("publish", make_file("kept.bin", 3 * MIB)).result
    filler = _fill(small_disk)
    (shared / "late.txt").write_bytes(b"comes while nothing can be noted")
    refused = node.run("publish", *[make_file(f"late {n}.txt") for n in range(30)], code=None)
    assert refused.code in (0, 3, 7)
    assert "Traceback" not in refused.stderr
    assert eventually(lambda: "late.txt is not shared yet" in node.running.errors())
    fetched = other.run("fetch", kept["hash"], "-o", tmp_path / "out").result
    assert fetched["downloaded"] == 3 * MIB, "a full disk hinders no reading"
    node.run("status")
    acknowledged = {line["hash"] for line in refused.results if "hash" in line} | {kept["hash"]}
    filler.unlink()
    os.utime(shared / "late.txt")  # a changed file is tried again at once, another in a minute
    assert eventually(lambda: len(_listed(node) - acknowledged) == 1), "what rested in the folder is shared now"
    _fill(small_disk)
    assert node.stop().code == 0
    (small_disk / "filler").unlink()
    assert acknowledged <= _listed(home.node())


def test_a_node_does_not_start_in_a_home_that_cannot_be_written(network: Network, small_disk: Path) -> None:
    home = network.home()
    home.path = small_disk / "home"
    home.node().stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        for command in (["node", "--host", "127.0.0.1", "--port", 0, "--no-lan"], ["search", "word", "--no-lan"]):
            failed = home.run(*command, code=7)
            assert "Traceback" not in failed.stderr
            assert str(home.path) in failed.result["error"]["message"]
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    home.node().stop()
