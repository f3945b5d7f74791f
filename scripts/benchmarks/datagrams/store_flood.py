"""A real node that is stored full, and fuller: what it keeps, what it refuses, what that costs it and the honest.

127/8 counts as the world, so that the rates and networks of a global scope hold. Honest records come first, from a
hundred addresses of a hundred /24s; then 400 addresses of two /24s store valid records of many keys until each cap of
the node is passed. Honest pings go on meanwhile (see flood.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.dht.messages import Body
from dhtshare.dht.records.finds import FindEntries, FindProviders, FoundEntries, read_providers
from dhtshare.dht.records.limits import MAX_BYTES, MAX_RECORDS, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.stores import StoreEntries, StoreProviders, read_verdicts
from dhtshare.network import Scope, network_id
from scripts.benchmarks.datagrams.flood import Honest
from scripts.benchmarks.datagrams.store_flooder import CROWDED, entry
from scripts.benchmarks.goals import at_most
from tests.hostile.process_figures import forget_peak, peak, resident
from tests.hostile.raw_node import RawNode
from tests.processes import Network, Node

HONEST = 100
CROWDED_HONEST = 10  # of these, so many under the word that the flood crowds
FIRST_NUMBER = 10_000_000  # of honest entries; the flood counts from 0
REST_SECONDS = 0.02  # between questions: below the rate at which one address is ignored
PING_SECONDS = 2.0
MOST_BEYOND_THE_CAP = 64 << 20  # threats.md


def store_flood(*arguments: str) -> dict[str, Any]:
    """Entries up to the cap in bytes, 6,000 under one word, provider records up to the cap in records."""
    parser = argparse.ArgumentParser(prog="scripts/bench store-flood")
    parser.add_argument("--entries", type=int, default=56_000, help="of about 1,000 bytes and 300 of overhead")
    parser.add_argument("--crowding", type=int, default=6_000, help="under one word; 5,000 is its cap")
    parser.add_argument("--providers", type=int, default=120_000)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        node = network.node("--treat-as-public", "127.0.0.0/8", "--reachable", "yes")
        figures = flooded(node, chosen.entries, chosen.crowding, chosen.providers)
    return {
        **figures,
        "honest_lost": at_most(figures["honest_lost"], 0),
        "records_held": at_most(figures["records_held"], MAX_RECORDS),
        "memory_peak_more_bytes": at_most(figures["memory_peak_more_bytes"], MAX_BYTES + MOST_BEYOND_THE_CAP),
    }


def flooded(node: Node, entries: int, crowding: int, providers: int) -> dict[str, Any]:
    """What became of a fresh node, of the honest records and of the flood."""
    honest = _Honest(node)
    honest.store()
    port = int(node.address.rpartition(":")[2])
    pings = Honest(port, network_id(node.home.network.name))
    pings.prove()
    command = [sys.executable, "-m", "scripts.benchmarks.datagrams.store_flooder", str(port), node.home.network.name]
    command += map(str, (entries, crowding, providers))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flooder:
        assert flooder.stdout is not None
        assert flooder.stdout.readline() == "ready\n"
        forget_peak(node)
        before, used = resident(node), _processor_seconds(node)
        assert flooder.stdin is not None
        flooder.stdin.close()
        pinged = []
        while flooder.poll() is None:
            pinged.append(pings.run(PING_SECONDS))
        told = json.loads(flooder.stdout.read())
    used = _processor_seconds(node) - used
    pings.sources.close()
    status = node.run("status").result
    records = status["records"]
    kept = honest.kept()
    return {
        "flood": told,
        "records_cap": MAX_RECORDS,
        "bytes_cap": MAX_BYTES,
        "records_held": records["entries"] + records["providers"] + records["withdrawals"],
        "entries_held": records["entries"],
        "providers_held": records["providers"],
        "memory_before_bytes": before,
        "memory_peak_more_bytes": peak(node) - before,
        "memory_after_more_bytes": resident(node) - before,
        "processor_seconds": round(used, 1),
        "processor_share": round(used / told["seconds"], 3),
        "pings_answered_worst": min(one["answered"] for one in pinged),
        "pings_p95_ms_worst": max(one["p95_ms"] for one in pinged),
        **kept,
    }


def _processor_seconds(node: Node) -> float:
    fields = Path(f"/proc/{node.running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


class _Honest:
    """A hundred publishers in a hundred networks: an entry under a word of its own and a provider record each."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._numbers = range(FIRST_NUMBER, FIRST_NUMBER + HONEST)

    def store(self) -> None:
        """Each from an address of its own; the node acknowledges all."""
        name = self._node.home.network.name
        for number in self._numbers:
            with RawNode(name, _host(number)) as person:
                person.prove(self._node.address)
                raw = entry(person.network, number, self._words(number), f"honest {number}")
                key = content_key(person.network, _content(number))
                provided = StoreProviders((key,), ProviderClaim(4470, bytes(8)))
                for method, body in (
                    (RecordMethod.STORE_ENTRIES, StoreEntries(((raw, b"\0"),)).body()),
                    (RecordMethod.STORE_PROVIDERS, provided.body()),
                ):
                    (answer,) = person.ask(self._node.address, method, body)
                    assert read_verdicts(answer.body, 1) == [Verdict.STORED]

    def _words(self, number: int) -> list[str]:
        return [CROWDED if number < FIRST_NUMBER + CROWDED_HONEST else f"honest{number}"]

    def kept(self) -> dict[str, int]:
        """What is still answered to somebody who asks."""
        figures = {"honest_entries": 0, "honest_of_crowded_word": 0, "honest_providers": 0, "honest_lost": 0}
        with RawNode(self._node.home.network.name, "127.222.9.9") as person:
            person.prove(self._node.address)
            for number in self._numbers:
                (word,) = self._words(number)
                listed, provided = self._finds_entry(person, number, word), self._finds_provider(person, number)
                figures["honest_of_crowded_word" if word == CROWDED else "honest_entries"] += listed
                figures["honest_providers"] += provided
                figures["honest_lost"] += (not listed) + (not provided)
        return figures

    def _finds_entry(self, person: RawNode, number: int, word: str) -> bool:
        """On the first page: what stands behind it nobody may ever look at."""
        body = FindEntries(keyword_key(person.network, word), Query((word,)), parts=16).body()
        found = FoundEntries.read(self._answer(person, RecordMethod.FIND_ENTRIES, body))
        return any(_content(number) in raw for raw in found.raws)

    def _finds_provider(self, person: RawNode, number: int) -> bool:
        body = FindProviders(content_key(person.network, _content(number))).body()
        parts = self._answer(person, RecordMethod.FIND_PROVIDERS, body)
        host = _host(number)
        return any(one.address.host == host for part in parts for one in read_providers(part, Scope.IPV4))

    def _answer(self, person: RawNode, method: int, body: Body) -> list[Body]:
        time.sleep(REST_SECONDS)
        return [part.body for part in person.ask(self._node.address, method, body)]


def _content(number: int) -> bytes:
    return b"%032d" % number


def _host(number: int) -> str:
    return f"127.{1 + number - FIRST_NUMBER}.9.9"
