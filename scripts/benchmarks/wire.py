"""The transfer layer alone, seed and fetcher in two processes on loopback: beside the bare program, and libtorrent.

Both programs use the same congestion control (the bare one is told cubic, as the exchange tells itself), no fsync.
`place`: the target's pages exist already; `fresh`: they are made on the way.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, Descriptor, decode
from dhtshare.content.hasher import hash_file
from dhtshare.content.layout import Layout
from dhtshare.content.open_chunk import OpenChunk
from dhtshare.identity import SigningKey
from dhtshare.listening import listen
from dhtshare.network import Address, ScopeRules, network_id
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.ports import Shelf
from dhtshare.transfer.ratelimit import Limits
from dhtshare.transfer.swarm import Swarm
from scripts.benchmarks import bare
from scripts.benchmarks.content import summary

SIZE = int(os.environ.get("BENCH_BYTES", str(1 << 30)))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
FILES, FILE_BYTES = 10_000, 4096
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
PUBLIC = ipaddress.ip_network("127.0.0.0/8")


class Served:
    """A file or a folder, as an offer."""

    have = None

    def __init__(self, path: Path, descriptor: Descriptor) -> None:
        self.name = path.name
        self.descriptor = descriptor.encode()
        self.layout = Layout.of(descriptor)
        self._path = path

    def open_chunk(self, index: int) -> OpenChunk:
        slot = self.layout.slot(index)
        path = self._path / self.layout.files[slot.file].path
        return OpenChunk(os.open(path, os.O_RDONLY), slot.offset, slot.length)

    def close_chunk(self, chunk: OpenChunk) -> None:
        os.close(chunk.fd)

    def member_descriptor(self, file: int) -> bytes:
        raise AssertionError("files of one chunk need none")


class Shelved:
    """One offer, or none."""

    def __init__(self, *offers: Served) -> None:
        self._offers = {offer.layout.content_hash: offer for offer in offers}

    def offer(self, content_hash: bytes) -> Served | None:
        return self._offers.get(content_hash)


class FileSink:
    """Writes into files below a folder, or one file."""

    def __init__(self, layout: Layout, target: Path) -> None:
        self.have = Bitfield(layout.chunk_count)
        self._layout = layout
        self._target = target
        self._fd = -1 if target.is_dir() else os.open(target, os.O_RDWR | os.O_CREAT)
        if self._fd >= 0:
            os.ftruncate(self._fd, layout.size)

    def store(self, index: int, data: memoryview) -> None:
        slot = self._layout.slot(index)
        if self._fd >= 0:
            os.pwrite(self._fd, data, slot.offset)
        else:
            (self._target / self._layout.files[slot.file].path).write_bytes(data)
        self.have.add(index)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def exchange(shelf: Shelf, *, tls: bool, number: int) -> Exchange:
    """A node's transfer side."""
    return Exchange(
        network=network_id("bench"),
        key=SigningKey.from_seed(bytes([number]) * 32),
        rules=ScopeRules([PUBLIC] if tls else []),
        shelf=shelf,
        limits=Limits(),
        rng=random.Random(number),
    )


async def _serve(offer: Served, *, tls: bool) -> None:
    listening = listen("127.0.0.1", 0)
    serving = exchange(Shelved(offer), tls=tls, number=1)
    await serving.start(listening.tcp)
    print(listening.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, flush=True)
    await serving.stop()
    listening.close()


class Seed:
    """A process that serves one path. `stop` tells the seconds of CPU that it took since it listened."""

    def __init__(self, mode: str, path: Path, descriptor: Path) -> None:
        command = [sys.executable, "-m", "scripts.benchmarks.wire", mode, str(path), str(descriptor)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self._before = self._cpu()

    def stop(self) -> float:
        out, _ = self._process.communicate()
        return float(out) - self._before if out.strip() else 0.0

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _fetch(ports: list[int], layout: Callable[[], Layout], target: Path, *, tls: bool) -> dict[str, float]:
    fetching = exchange(Shelved(), tls=tls, number=2)
    await fetching.start()
    sink = FileSink(layout(), target)
    swarm = Swarm(fetching, layout(), sink)
    for port in ports:
        swarm.add_peer(Address("127.0.0.1", port))
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    await swarm.run()
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    await fetching.stop()
    sink.close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "rss": after.ru_maxrss * 1024}


def _file(folder: Path) -> tuple[Path, Path]:
    path, described = folder / "source.bin", folder / "source.descriptor"
    with path.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
    described.write_bytes(hash_file(path).encode())
    return path, described


def _folder(folder: Path) -> tuple[Path, Path]:
    path, described, entries = folder / "many", folder / "many.descriptor", []
    path.mkdir()
    for number in range(FILES):
        file = path / f"{number:05}.bin"
        file.write_bytes(os.urandom(FILE_BYTES))
        entries.append(CollectionEntry(file.name, FILE_BYTES, hash_file(file).content_hash, False))
    described.write_bytes(CollectionDescriptor.of(entries).encode())
    return path, described


def _ours(
    folder: Path, path: Path, described: Path, *, seeds: int = 1, tls: bool = False, fresh: bool
) -> dict[str, Any]:
    raw = described.read_bytes()
    started = [Seed("tls" if tls else "plain", path, described) for _ in range(seeds)]
    target = folder / "target.bin"
    runs = []
    for number in range(RUNS + (not fresh)):
        if fresh:
            target.unlink(missing_ok=True)
        run = asyncio.run(_fetch([seed.port for seed in started], lambda: Layout.of(decode(raw)), target, tls=tls))
        if fresh or number:
            runs.append(run)
    seed_cpu = sum(seed.stop() for seed in started) / (RUNS + (not fresh))
    gib = SIZE / (1 << 30)
    return {
        "mb_per_s": summary([SIZE / run["seconds"] / 1e6 for run in runs], 1),
        "fetcher_cpu_s_per_gib": round(statistics.median(run["cpu"] for run in runs) / gib, 2),
        "seed_cpu_s_per_gib": round(seed_cpu / gib, 2),
        "fetcher_rss_bytes": max(run["rss"] for run in runs),
    }


def _bare(folder: Path, path: Path, *, fresh: bool, connections: int = 2) -> list[float]:
    target, rates = folder / "target.bin", []
    for number in range(RUNS + (not fresh)):
        if fresh:
            target.unlink(missing_ok=True)
        with socket.socket() as listener:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            seed = os.fork()
            if seed == 0:
                bare.seed(listener, path, connections)
                os._exit(0)
            seconds = bare.fetch(listener.getsockname()[1], target, SIZE >> 20, connections)
            os.waitpid(seed, 0)
        if fresh or number:
            rates.append(SIZE / seconds / 1e6)
    return rates


def _small(folder: Path) -> dict[str, Any]:
    path, described = _folder(folder)
    raw = described.read_bytes()
    seed = Seed("plain", path, described)
    seconds = []
    for number in range(RUNS):
        target = folder / f"target{number}"
        target.mkdir()
        layout = Layout.of(decode(raw))
        seconds.append(asyncio.run(_fetch([seed.port], lambda layout=layout: layout, target, tls=False))["seconds"])
    seed.stop()
    return {"files": FILES, "file_bytes": FILE_BYTES, "files_per_s": summary([FILES / one for one in seconds], 0)}


def wire() -> dict[str, Any]:
    """All of it, one after another, in memory."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        path, described = _file(folder)
        result: dict[str, Any] = {"bytes": SIZE, "runs": RUNS, "fsync": False}
        for how, fresh in (("place", False), ("fresh", True)):
            ours = _ours(folder, path, described, fresh=fresh)
            yardstick = _bare(folder, path, fresh=fresh)
            ratio = ours["mb_per_s"]["median"] / statistics.median(yardstick)
            result[how] = {**ours, "bare_mb_per_s": summary(yardstick, 1), "of_bare": round(ratio, 2)}
        result["tls_place"] = _ours(folder, path, described, fresh=False, tls=True)
        result["four_seeds_place"] = _ours(folder, path, described, fresh=False, seeds=4)
        result["small_files"] = _small(folder)
    return result


if __name__ == "__main__":
    mode, source, descriptor = sys.argv[1:]
    asyncio.run(_serve(Served(Path(source), decode(Path(descriptor).read_bytes())), tls=mode == "tls"))
