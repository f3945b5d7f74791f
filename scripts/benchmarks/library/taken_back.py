"""How long a file that was changed, cut, replaced or removed under its seed is still offered.

A fetch reads from the seed while it happens, so the first read that fails comes at once. Provider records are looked
for on every node by hand; the entry by searches from another node, which take their time themselves.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dhtshare.content.keys import content_key
from dhtshare.dht.records.finds import FindProviders, read_providers
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.network import Scope
from scripts.benchmarks.goals import at_most
from tests.hostile.raw_node import RawNode
from tests.processes import Network, Node
from tests.unfinished import claimed

MIB = 1 << 20
SIZE = 12 * MIB
SEED_RATE = "2M"  # bytes per second: the fetch is still reading when the file changes
NODES = 5
PATIENCE_SECONDS = 60.0
GOAL_SECONDS = 10.0  # threats.md


def _changed(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"another middle")


def _cut(path: Path) -> None:
    os.truncate(path, MIB)


def _replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(os.urandom(SIZE))
    other.replace(path)


def _removed(path: Path) -> None:
    path.unlink()


WAYS: dict[str, Callable[[Path], None]] = {
    "changed": _changed,
    "cut": _cut,
    "replaced": _replaced,
    "removed": _removed,
}


def taken_back(*arguments: str) -> dict[str, Any]:
    """For each way the worst of `--runs`; `seconds` runs until neither a provider record nor the entry is found."""
    parser = argparse.ArgumentParser(prog="scripts/bench taken-back")
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args(arguments).runs
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        nodes = network.nodes(NODES)
        seen = {way: [ruin(nodes, way, f"{way}{run}") for run in range(runs)] for way in WAYS}
    worst = {way: {name: max(run[name] for run in of) for name in of[0]} for way, of in seen.items()}
    return {
        "nodes": NODES,
        "runs_each": runs,
        "worst": worst,
        "seconds": at_most(max(row["seconds"] for row in worst.values()), GOAL_SECONDS),
        "wrong_chunks": at_most(max(row["wrong_chunks"] for row in worst.values()), 0),
        "publisher_not_told": at_most(max(row["not_told"] for row in worst.values()), 0),
    }


def ruin(nodes: list[Node], way: str, word: str) -> dict[str, float]:
    """Publishes a file, has it read, ruins it; `seconds` from then until nobody is led to it any more.

    `wrong_chunks` are those that the reader believes it has and that are not what was published; `not_told` is 1 where
    neither what the node says by itself nor its list names the file as it is. Raises AssertionError where it stays
    offered for a minute, or the reader says that it has it all.
    """
    seed, reader, searcher = nodes[1:4]
    path = seed.home.cwd / f"{word} ruined.bin"
    published = os.urandom(SIZE)
    path.write_bytes(published)
    seed.run("limit", "--max-upload", SEED_RATE)
    content = seed.run("publish", path).result["hash"]
    assert searcher.run("search", word).result["results"]
    out = reader.home.cwd / f"out {word}"
    fetching = reader.home.start("fetch", content, "-o", out, "--no-seed", "--timeout", 5)
    fetching.wait_for_event("progress", lambda line: line["done"] >= MIB)
    WAYS[way](path)
    began = time.monotonic()
    with RawNode(seed.home.network.name) as asker:
        _until(lambda: not _providers(asker, nodes, bytes.fromhex(content), seed))
    providers = time.monotonic() - began
    _until(lambda: searcher.run("search", word, code=None).code == 4)
    entry = time.monotonic() - began
    said = path.name in seed.running.errors()  # before its list is asked for, which looks at every file itself
    assert fetching.finish(PATIENCE_SECONDS).code == 5, "nobody is left to fetch from"
    assert not (out / path.name).exists()
    state = {item["hash"]: item["state"] for item in seed.run("list").result["items"]}[content]
    return {
        "provider_records_seconds": round(providers, 2),
        "entry_seconds": round(entry, 2),
        "seconds": round(max(providers, entry), 2),
        "chunks": len(claimed(out, bytes.fromhex(content), SIZE // MIB) or ()),
        "wrong_chunks": _wrong(out / f".{path.name}.dhtshare-part", bytes.fromhex(content), published),
        "not_told": int(not said or state != ("missing" if way == "removed" else "changed")),
    }


def _wrong(part: Path, content: bytes, published: bytes) -> int:
    """How many chunks of the unfinished file are claimed and are not what was published."""
    held = part.read_bytes()
    chunks = claimed(part.parent, content, SIZE // MIB) or ()
    return sum(held[at : at + MIB] != published[at : at + MIB] for at in (chunk * MIB for chunk in chunks))


def _providers(asker: RawNode, nodes: list[Node], content: bytes, seed: Node) -> int:
    """How many records of the seed are held, its own included."""
    key, port = content_key(asker.network, content), int(seed.address.rpartition(":")[2])
    found = 0
    for node in nodes:
        if node.address not in asker.tokens:
            asker.prove(node.address)
        for answer in asker.ask(node.address, RecordMethod.FIND_PROVIDERS, FindProviders(key).body()):
            found += sum(provider.address.port == port for provider in read_providers(answer.body, Scope.LAN))
    return found


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s"
        time.sleep(0.05)
