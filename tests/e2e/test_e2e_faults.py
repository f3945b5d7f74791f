"""What befalls a fetch between real processes: killed again and again, rebooted, its seeds frozen or lying."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.library.claims import BITMAP_SUFFIX, Claims
from tests.e2e.conftest import MakeFile
from tests.processes import Network, Node

MIB = 1 << 20
LOST_BY_A_KILL = 8 * MIB
SIZE = 32 * MIB


@pytest.fixture
def slow_seed(shared_network: Network, nodes: list[Node]) -> Node:
    """Gives 6 MiB a second; the network lives on when it is gone."""
    return shared_network.node("--max-upload", "6M")


def test_killed_again_and_again_it_ends_and_loses_little(
    shared_network: Network, slow_seed: Node, make_file: MakeFile, tmp_path: Path
) -> None:
    path = make_file("often killed.bin", SIZE)
    content = slow_seed.run("publish", path).result["hash"]
    alone, out = shared_network.home(), tmp_path / "out"
    told = 0
    kills = 4
    for _ in range(kills):
        running = alone.start("fetch", content, "-o", out, *shared_network.join())
        running.wait_for_event("progress", lambda line: line["done"] >= 3 * MIB)
        running.kill()
        told += max(line["done"] for line in running.seen if line.get("event") == "progress")
        assert not (out / path.name).exists()
    slow_seed.run("limit", "--max-upload", "0")
    fetched = alone.run("fetch", content, "-o", out, *shared_network.join()).result
    assert fetched["reused"] >= told - kills * LOST_BY_A_KILL
    assert fetched["reused"] + fetched["downloaded"] == SIZE
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    assert [entry.name for entry in out.iterdir()] == [path.name]
    slow_seed.stop()


def test_after_a_reboot_nothing_is_believed_unhashed(
    shared_network: Network, slow_seed: Node, make_file: MakeFile, tmp_path: Path
) -> None:
    """The power went: claims are older than this boot, and one chunk that they name never reached the disk."""
    path = make_file("power cut.bin", SIZE)
    content = slow_seed.run("publish", path).result["hash"]
    alone, out = shared_network.home(), tmp_path / "out"
    running = alone.start("fetch", content, "-o", out, *shared_network.join())
    running.wait_for_event("progress", lambda line: line["done"] >= 6 * MIB)
    running.kill()
    (part,) = [entry for entry in out.iterdir() if not entry.name.endswith(BITMAP_SUFFIX)]
    (bitmap,) = [entry for entry in out.iterdir() if entry.name.endswith(BITMAP_SUFFIX)]
    lost = _claim_under_another_boot(bitmap, bytes.fromhex(content), SIZE // MIB)
    with part.open("r+b") as file:
        file.seek(lost * MIB)
        file.write(bytes(4096))
    slow_seed.run("limit", "--max-upload", "0")
    fetched = alone.run("fetch", content, "-o", out, *shared_network.join()).result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    assert fetched["reused"] >= 6 * MIB - MIB - LOST_BY_A_KILL
    assert fetched["reused"] + fetched["downloaded"] == SIZE
    slow_seed.stop()


@pytest.fixture
def after_a_reboot(tmp_path: Path) -> list[str]:
    """Opens a command whose system tells another boot id: its own view of one file of /proc."""
    name = tmp_path / "boot_id"
    name.write_text("11111111-2222-3333-4444-555555555555\n")
    mount = f'mount --bind {name} /proc/sys/kernel/random/boot_id && exec "$@"'
    opens = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*opens, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a mount namespace needs unshare, and the right to")
    return opens


def test_the_next_boot_hashes_what_the_last_one_claimed(
    shared_network: Network, slow_seed: Node, make_file: MakeFile, tmp_path: Path, after_a_reboot: list[str]
) -> None:
    """Under the boot that wrote them claims are believed, under the next one a chunk that was lost is found."""
    path = make_file("next boot.bin", SIZE)
    content = slow_seed.run("publish", path).result["hash"]
    alone, out = shared_network.home(), tmp_path / "out"
    running = alone.start("fetch", content, "-o", out, *shared_network.join())
    running.wait_for_event("progress", lambda line: line["done"] >= 6 * MIB)
    running.kill()
    (part,) = [entry for entry in out.iterdir() if not entry.name.endswith(BITMAP_SUFFIX)]
    source = path.read_bytes()
    with part.open("r+b") as file:
        held = file.read()
        chunks = range(0, len(held), MIB)
        lost = next(at for at in chunks if held[at : at + MIB] == source[at : at + MIB])
        file.seek(lost)
        file.write(bytes(4096))
    slow_seed.run("limit", "--max-upload", "0")
    alone.inside = after_a_reboot
    fetched = alone.run("fetch", content, "-o", out, *shared_network.join()).result
    assert Path(fetched["path"]).read_bytes() == source
    assert fetched["reused"] >= 6 * MIB - MIB - LOST_BY_A_KILL
    assert fetched["reused"] + fetched["downloaded"] == SIZE
    slow_seed.stop()


def test_after_a_reboot_a_long_file_of_a_collection_is_gone_on_with(
    shared_network: Network, slow_seed: Node, make_file: MakeFile, tmp_path: Path
) -> None:
    """What its chunks should be was learned from a peer, and kept."""
    path = make_file("power cut/film.mkv", SIZE)
    content = slow_seed.run("publish", path.parent).result["hash"]
    alone, out = shared_network.home(), tmp_path / "out"
    running = alone.start("fetch", content, "-o", out, *shared_network.join())
    running.wait_for_event("progress", lambda line: line["done"] >= 18 * MIB)  # three seconds
    running.kill()
    (bitmap,) = [entry for entry in out.iterdir() if entry.name.endswith(BITMAP_SUFFIX)]
    _claim_under_another_boot(bitmap, bytes.fromhex(content), SIZE // MIB)
    slow_seed.run("limit", "--max-upload", "0")
    fetched = alone.run("fetch", content, "-o", out, *shared_network.join()).result
    assert (Path(fetched["path"]) / path.name).read_bytes() == path.read_bytes()
    assert fetched["reused"] >= 18 * MIB - LOST_BY_A_KILL
    assert fetched["reused"] + fetched["downloaded"] == SIZE
    slow_seed.stop()


def _claim_under_another_boot(bitmap: Path, content: bytes, chunks: int) -> int:
    """Rewrites the claims as a boot before this one would have left them; a chunk that they claim."""
    root = os.open(bitmap.parent, os.O_RDONLY)
    try:
        claims = Claims.open(root, bitmap.name)
        read = claims.read(content, chunks, bytes(range(16)))
        assert read is not None
        have, believed = read
        assert not believed
        claims.write(content, have, bytes(range(16)))
        claims.close()
    finally:
        os.close(root)
    assert isinstance(have, Bitfield)
    return next(iter(have))


def test_frozen_seeds_hold_nobody_up(
    shared_network: Network, nodes: list[Node], make_file: MakeFile, tmp_path: Path
) -> None:
    """Two of three stand still (SIGSTOP) in the middle: their kernels still acknowledge, and nothing comes."""
    path = make_file("winter.bin", SIZE)
    others = [shared_network.node("--max-upload", "3M") for _ in range(2)]
    content = nodes[1].run("publish", path).result["hash"]
    nodes[1].run("limit", "--max-upload", "3M")
    for other in others:
        other.run("publish", path)
    running = nodes[2].home.start("fetch", content, "-o", tmp_path / "out", "--no-seed")
    running.wait_for_event("progress", lambda line: line["done"] >= 4 * MIB and line["peers"] >= 2)
    for other in others:
        other.running.signal(signal.SIGSTOP)
    nodes[1].run("limit", "--max-upload", "0")
    done = running.finish(60)
    assert done.code == 0, done
    assert Path(done.result["path"]).read_bytes() == path.read_bytes()
    assert done.result["discarded"] <= 2 * MIB
    for other in others:
        other.kill()


def test_a_seed_whose_disk_rots_is_found_out_and_replaced(
    shared_network: Network, nodes: list[Node], make_file: MakeFile, tmp_path: Path
) -> None:
    """Same size, same time, other bytes: the seed does not know that it lies."""
    path = make_file("rotten/apple.bin", 12 * MIB)
    rotten, sound = shared_network.node(), nodes[1]
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / "apple.bin"
    copy.write_bytes(path.read_bytes())
    content = rotten.run("publish", copy).result["hash"]
    sound.run("publish", path)
    stat = copy.stat()
    copy.write_bytes(bytes(12 * MIB))
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    sound.run("limit", "--max-upload", "6M")
    done = nodes[3].run("fetch", content, "-o", tmp_path / "out", "--no-seed", "--peer", rotten.address)
    sound.run("limit", "--max-upload", "0")
    assert Path(done.result["path"]).read_bytes() == path.read_bytes()
    bad = [line for line in done.events if line["event"] == "chunk_bad"]
    by_address = {source["address"]: source for source in done.result["sources"]}
    assert by_address[rotten.address]["bad_chunks"] == len(bad)
    assert 1 <= len(bad) <= 2, "out at the first false chunk; another may be on its way"
    assert by_address[rotten.address]["chunks"] == 0
    assert done.result["discarded"] == len(bad) * MIB
    rotten.kill()


def test_below_one_copy_it_says_what_is_missing_and_waits(
    shared_network: Network, nodes: list[Node], make_file: MakeFile, tmp_path: Path
) -> None:
    """A peer that has some of it, and nobody else: told by bytes, then a network error; a seed comes, and it ends."""
    path = make_file("half a loaf.bin", 24 * MIB)
    seed = shared_network.node("--max-upload", "6M")
    content = seed.run("publish", path).result["hash"]
    half = shared_network.node()
    fetching = half.home.start("fetch", content, "-o", tmp_path / "half", "--timeout", "60")
    fetching.wait_for_event("progress", lambda line: line["done"] >= 6 * MIB)
    seed.kill()
    waiting = nodes[2].home.start("fetch", content, "-o", tmp_path / "out", "--no-seed", "--timeout", "60")
    told = waiting.wait_for_event("availability", lambda line: line["missing_everywhere"])
    assert told["full_copies"] == 0
    assert 0 < told["copies"] < 1
    assert sum(part["end"] - part["begin"] for part in told["missing"]) == told["missing_everywhere"] * MIB
    assert "held by none of them" in told["message"]
    said = nodes[3].run("info", content).result
    assert said["full_copies"] == 0
    assert said["missing_everywhere"] >= 1
    assert said["missing"]
    nodes[1].run("publish", path)
    for running in (waiting, fetching):
        done = running.finish(60)
        assert done.code == 0, done
        assert Path(done.result["path"]).read_bytes() == path.read_bytes()
    half.stop()
