"""The order in which a node writes, syncs and names, of the kernel's own record of one life of it.

A power cut may come at any call, and what was written and not synced may then be gone, in any order.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.library.boot import boot_tag
from dhtshare.library.claims import BITMAP_SUFFIX, Claims
from scripts.disk_faults.injection import wait_for_the_end
from tests.processes import Network
from tests.syscalls import Call, Trace, tracing

CHUNK = 1 << 20
CHUNKS = 11  # more than one byte of the bitmap
BITMAP_HEAD_BYTES = 69  # claims.py, held by a golden test


@dataclass(frozen=True)
class Life:
    """A node was started in a new home, published a file, fetched another, and was stopped."""

    trace: Trace
    home: Path
    out: Path
    published: str
    fetched: str
    size: int

    @property
    def ready(self) -> Call:
        """When it said that it is up."""
        return next(call for call in self.trace.calls if b'"event": "ready"' in call.data)

    def acknowledged(self, content_hash: str) -> Call:
        """When the command that asked for this content was told its result."""
        answer = b'{"result":{"hash":"' + content_hash.encode()
        (told,) = self.trace.writes(self.home / "control.sock", answer)
        return told


@pytest.fixture(scope="module")
def life(shared_network: Network) -> Life:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    seed = shared_network.node()
    source = seed.home.cwd / "source.bin"
    source.write_bytes(os.urandom(CHUNKS * CHUNK - 99))
    fetched = seed.run("publish", source).result["hash"]
    home = shared_network.home()
    log, out, mine = home.cwd / "trace", home.cwd / "new" / "out", home.cwd / "mine.bin"
    mine.write_bytes(os.urandom(1000))
    home.inside = tracing(log)
    node = home.start("node", "--host", "127.0.0.1", "--port", 0, *shared_network.join())
    home.inside = ()
    node.wait_for_event("ready")
    published = home.run("publish", mine, "--no-wait").result["hash"]
    home.run("fetch", fetched, "-o", out)
    home.run("stop")
    assert node.finish().code == 0
    wait_for_the_end(log, node.process.pid)
    return Life(Trace.read(log), home.path, out, published, fetched, source.stat().st_size)


def test_a_chunk_is_written_before_its_bit(life: Life) -> None:
    """Both lie in the page cache: that is enough for a killed process, and after a reboot no bit is believed."""
    part, bitmap = (life.out / f".source.bin{suffix}" for suffix in (".dhtshare-part", BITMAP_SUFFIX))
    written = life.trace.writes(part)
    bits = bytearray((CHUNKS + 7) // 8)
    claimed: list[int] = []
    for note in life.trace.writes(bitmap):
        if note.name == "write":
            assert not any(note.data[BITMAP_HEAD_BYTES:]), "at the start nothing is claimed"
            continue
        before = Bitfield.from_bytes(CHUNKS, bytes(bits))
        bits[note.offset - BITMAP_HEAD_BYTES] = note.data[0]
        for chunk in set(Bitfield.from_bytes(CHUNKS, bytes(bits))) - set(before):
            claimed.append(chunk)
            first, end = chunk * CHUNK, min((chunk + 1) * CHUNK, life.size)
            there = [call for call in written if call.before(note) and first <= call.offset < end]
            assert sum(call.count for call in there) == end - first, f"chunk {chunk} was claimed before it was written"
    assert sorted(claimed) == list(range(CHUNKS))


@pytest.mark.parametrize("which", ["published", "fetched"])
def test_what_is_shared_is_on_the_disk_before_it_is_acknowledged(life: Life, which: str) -> None:
    """The journal first, then the catalogue, each synced; then the answer on the control socket."""
    content_hash: str = getattr(life, which)
    trace, journal, log = life.trace, life.home / "shared.jsonl", life.home / "catalogue.db-wal"
    acknowledged = life.acknowledged(content_hash)
    (noted,) = trace.writes(journal, content_hash.encode())
    noted_for_good = _next(trace.syncs(journal), noted)
    entered = [call for call in trace.writes(log, bytes.fromhex(content_hash)) if noted_for_good.before(call)]
    assert entered, "the catalogue is written only when the journal is on the disk"
    entered_for_good = _next(trace.syncs(log), entered[0])
    assert entered_for_good.before(acknowledged)
    for path in (journal, life.home / "catalogue.db", log):
        assert _next(trace.syncs(life.home), trace.made(path)).before(acknowledged), f"the name of {path.name}"


def test_a_fetched_file_is_on_the_disk_before_it_is_acknowledged(life: Life) -> None:
    trace, part = life.trace, life.out / ".source.bin.dhtshare-part"
    (named,) = trace.renames(life.out)
    assert named.files == (str(part), str(life.out / "source.bin"))
    assert any(_covers(sync, trace.writes(part), named) for sync in trace.syncs(part))
    named_for_good = _next(trace.syncs(life.out), named)
    (forgotten,) = (
        call
        for call in trace.calls
        if call.name.startswith("unlink") and call.files[0].endswith(BITMAP_SUFFIX) and named.before(call)
    )
    assert named_for_good.before(forgotten)
    assert named_for_good.before(life.acknowledged(life.fetched))
    for folder in (life.out, life.out.parent):
        made_for_good = _next(trace.syncs(folder.parent), trace.made(folder))
        assert made_for_good.before(life.acknowledged(life.fetched)), f"the name of the folder {folder.name}"


def test_state_is_written_beside_synced_renamed_and_its_folder_synced(life: Life) -> None:
    trace = life.trace
    renamed = trace.renames(life.home)
    for named in renamed:
        beside = Path(named.files[0])
        assert beside.name.startswith("."), "nothing is half written under its own name"
        assert any(_covers(sync, trace.writes(beside), named) for sync in trace.syncs(beside)), named
        assert not trace.writes(Path(named.files[1])), named
        for_good = _next(trace.syncs(life.home), named)
        if named.files[1].endswith("identity"):
            assert for_good.before(life.ready), "nobody may learn a key that a power cut could still cost"
    names = {Path(named.files[1]).name for named in renamed}
    assert names == {"identity", "dht.state", "records.state"}
    others = {"catalogue.db", "shared.jsonl", "lock"}  # held above; what is in the lock is worth nothing afterwards
    assert {path.name for path in life.home.iterdir()} == names | others
    assert _next(trace.syncs(life.home.parent), trace.made(life.home)).before(life.ready)


def _covers(sync: Call, writes: list[Call], named: Call) -> bool:
    """Whether all that was written was synced by this before it got its name."""
    return bool(writes) and all(write.before(sync) for write in writes) and sync.before(named)


def _next(syncs: list[Call], call: Call) -> Call:
    """The first sync that was begun when this call had returned."""
    found = next((sync for sync in syncs if call.before(sync)), None)
    assert found is not None, f"never synced: {call}"
    return found


def test_after_a_reboot_no_bit_is_believed(network: Network) -> None:
    """A claimed chunk whose bytes went with the power is fetched again, and no other."""
    seed = network.node("--max-upload", "4M")
    source = seed.home.cwd / "source.bin"
    source.write_bytes(os.urandom(CHUNKS * CHUNK))
    content = seed.run("publish", source).result["hash"]
    home = network.home()
    fetch = ("fetch", content, "-o", home.cwd, *network.join())
    running = home.start(*fetch)
    running.wait_for_event("progress", lambda line: line["done"] >= 3 * CHUNK)
    running.kill()
    claimed = _claims_of_another_boot(home.cwd, bytes.fromhex(content))
    part, lost = home.cwd / ".source.bin.dhtshare-part", min(claimed)
    with part.open("r+b") as file:
        file.seek(lost * CHUNK)
        file.write(bytes(CHUNK))
    seed.run("limit", "--max-upload", "0")
    done = home.run(*fetch).result
    assert (home.cwd / source.name).read_bytes() == source.read_bytes()
    assert done["downloaded"] == (CHUNKS - len(claimed) + 1) * CHUNK
    assert done["reused"] == (len(claimed) - 1) * CHUNK


def _claims_of_another_boot(folder: Path, content: bytes) -> Bitfield:
    """What an unfinished file claims, as if before a reboot: another boot wrote the same."""
    root = os.open(folder, os.O_RDONLY)
    try:
        claims = Claims.open(root, f".source.bin{BITMAP_SUFFIX}")
        try:
            read = claims.read(content, CHUNKS, boot_tag())
            assert read is not None
            assert read[1], "a killed process's claims are believed until a reboot"
            claims.write(content, read[0], b"another boot 000")
            return read[0]
        finally:
            claims.close()
    finally:
        os.close(root)
