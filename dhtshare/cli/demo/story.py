"""The story of a demo: start, publish, search, fetch from all, verify, part of a folder. Readable top to bottom.

Every step checks what it got and raises where it is not what was published; a story that ends was true.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dhtshare.cli.demo.material import Material, expected_files, generate, pattern_for, regular_files, same_bytes
from dhtshare.cli.demo.processes import DemoNetwork, DemoNode
from dhtshare.cli.display import counted, human_seconds, human_size
from dhtshare.errors import IntegrityError, NetworkError, NotFoundError

COMMON_WORD = "demo"
BIG_WORD = "noise"
COPIES = 2  # seeds that publish each real path; the generated file is published by all of them

JsonObject = dict[str, Any]
Emit = Callable[[JsonObject], None]


@dataclass(frozen=True, slots=True)
class Published:
    """One path and the content hash by which the network knows it."""

    path: Path
    content_hash: str


class Story:
    """Tells itself through `emit`: events with a `message` for people, and progress events of the fetches."""

    def __init__(self, network: DemoNetwork, material: Material, *, seeds: int, big_size: int, emit: Emit) -> None:
        self._network = network
        self._material = material
        self._seed_count = seeds
        self._big_size = big_size
        self._emit = emit
        self._output = network.folder / "fetched"

    def tell(self) -> JsonObject:
        """Everything, in order; the figures of the result object."""
        started = time.monotonic()
        big = self._network.folder / f"{BIG_WORD} {human_size(self._big_size)}.bin"
        generate(big, self._big_size)
        self._say("generated", f"Generated {big.name}: {human_size(self._big_size)} of random bytes.", name=big.name)
        seeds, reader = self._start()
        published = self._publish(seeds, big)
        searches = [
            self._search(reader, [COMMON_WORD], published),
            self._search(reader, [COMMON_WORD, BIG_WORD], published[:1]),
        ]
        return {
            "ok": True,
            "network": self._network.name,
            "nodes": len(self._network.nodes),
            "published": len(published),
            "searches": searches,
            "fetch": self._fetch_big(reader, published[0]),
            "files": self._fetch_files(reader, [one for one in published if one.path in self._material.files]),
            "folder": self._fetch_folder(reader, [one for one in published if one.path in self._material.folders]),
            "seconds": round(time.monotonic() - started, 3),
        }

    def _start(self) -> tuple[list[DemoNode], DemoNode]:
        """A bootstrap node, then the seeds and the reader all at once."""
        bootstrap = self._network.start_node("bootstrap")
        bootstrap.wait_until_ready()
        names = [*(f"seed-{number}" for number in range(1, self._seed_count + 1)), "reader"]
        nodes = [self._network.start_node(name, bootstrap.address) for name in names]
        for node in nodes:
            node.wait_until_ready()
        for node in self._network.nodes:
            self._say("node", f"Node {node.name} runs at {node.address}.", node=node.name, address=node.address)
        return nodes[:-1], nodes[-1]

    def _publish(self, seeds: Sequence[DemoNode], big: Path) -> list[Published]:
        """The generated file from every seed, each real path from two of them; the generated one comes first."""
        shares: dict[str, list[Path]] = {seed.name: [big] for seed in seeds}
        for number, path in enumerate(self._material.paths):
            for copy in range(COPIES):
                shares[seeds[(number + copy) % len(seeds)].name].append(path)
        asked = [
            (seed, self._network.ask(seed, "publish", "-k", COMMON_WORD, *map(str, shares[seed.name])))
            for seed in seeds
        ]
        published: dict[Path, Published] = {}
        for seed, command in asked:
            results = command.results()
            acks = sum(result["receipt"]["acks"] for result in results)
            self._say(
                "published",
                f"{seed.name} published {counted(len(results), 'item')}; other nodes acknowledged {acks} records.",
                node=seed.name,
                items=len(results),
                acks=acks,
            )
            for path, result in zip(shares[seed.name], results, strict=True):
                known = published.setdefault(path, Published(path, result["hash"]))
                if known.content_hash != result["hash"]:
                    raise IntegrityError(f"Two nodes found different hashes for {path}; did it change meanwhile?")
        return list(published.values())

    def _search(self, reader: DemoNode, words: Sequence[str], expected: Sequence[Published]) -> JsonObject:
        started = time.monotonic()
        limit = str(2 * len(expected) + 10)
        result = self._network.ask(reader, "search", "--limit", limit, *words).result()
        seconds = round(time.monotonic() - started, 3)
        found = {hit["hash"]: hit for hit in result["results"]}
        missing = [one.path.name for one in expected if one.content_hash not in found]
        if missing:
            raise NotFoundError(f"The search for {' '.join(words)} did not find {', '.join(missing)}.")
        first = found[expected[0].content_hash]
        self._say(
            "searched",
            f"Search '{' '.join(words)}' from another node: {counted(len(found), 'hit')} in {human_seconds(seconds)}; "
            f"{first['name']} by {counted(first['publishers'], 'publisher')}.",
            words=list(words),
            hits=len(found),
        )
        return {"words": list(words), "hits": len(found), "nodes_asked": result["nodes_asked"], "seconds": seconds}

    def _fetch_big(self, reader: DemoNode, big: Published) -> JsonObject:
        """By content hash alone, from all seeds at once."""
        result = self._fetch(reader, [big])[0]
        names = {node.address: node.name for node in self._network.nodes}
        sources = [{"node": names.get(source["address"], "?"), **source} for source in result["sources"]]
        giving = [source for source in sources if source["chunks"]]
        if len(giving) < COPIES:
            raise NetworkError(f"Only {counted(len(giving), 'seed')} of {self._seed_count} gave anything.")
        rate = round(result["downloaded"] / max(result["seconds"], 1e-6))
        self._say(
            "fetched",
            f"Fetched {big.path.name} from {counted(len(giving), 'seed')} at once: {human_size(rate)}/s; "
            "every byte is as published.",
            hash=big.content_hash,
        )
        return {
            "hash": big.content_hash,
            "size": result["size"],
            "seconds": result["seconds"],
            "bytes_per_second": rate,
            "identical": True,
            "sources": sources,
        }

    def _fetch_files(self, reader: DemoNode, files: Sequence[Published]) -> JsonObject:
        results = self._fetch(reader, files)
        size = sum(result["size"] for result in results)
        self._say("fetched", f"Fetched {counted(len(files), 'real file')}, {human_size(size)}: all as published.")
        return {"files": len(files), "size": size, "identical": True}

    def _fetch(self, reader: DemoNode, wanted: Sequence[Published]) -> list[JsonObject]:
        """Fetches single files into a folder each, since two may have one name, and compares them."""
        results = []
        for one in wanted:
            place = str(self._output / one.content_hash[:16])
            asked = self._network.ask(reader, "fetch", "-o", place, one.content_hash, on_event=self._pass_on(one.path))
            result = asked.result()
            if not same_bytes(one.path, Path(result["path"])):
                raise IntegrityError(f"{result['path']} differs from {one.path}.")
            results.append(result)
        return results

    def _fetch_folder(self, reader: DemoNode, folders: Sequence[Published]) -> JsonObject:
        """Part of a folder, with --only."""
        folder = folders[0]
        pattern = pattern_for(regular_files(folder.path))
        place = str(self._output / "folder")
        command = ["fetch", "-o", place, "--only", pattern, folder.content_hash]
        result = self._network.ask(reader, *command, on_event=self._pass_on(folder.path)).result()
        expected, got = expected_files(folder.path, pattern), regular_files(Path(result["path"]))
        if expected.keys() != got.keys() or not all(same_bytes(expected[name], got[name]) for name in got):
            raise IntegrityError(f"{result['path']} is not what {pattern} takes of {folder.path}.")
        self._say(
            "fetched",
            f"Fetched {counted(len(got), 'file')} of the folder {folder.path.name}/ with --only '{pattern}': "
            "as published.",
            hash=folder.content_hash,
        )
        total = len(regular_files(folder.path))
        return {"only": pattern, "files": len(got), "of": total, "size": result["size"], "identical": True}

    def _pass_on(self, path: Path) -> Callable[[JsonObject], None]:
        """Progress of a fetch goes on to the demo's own printer, under the file's name."""

        def pass_on(event: JsonObject) -> None:
            if "done" in event and "total" in event:
                self._emit({**event, "event": "progress", "name": path.name})  # the end of one bar, not another

        return pass_on

    def _say(self, event: str, message: str, **fields: object) -> None:
        self._emit({"event": event, **fields, "message": message})
