"""Records in virtual time: what announcing a library costs, what churn and spam leave, what a record weighs."""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

from dhtshare.content.format import Kind
from dhtshare.content.keys import content_key
from dhtshare.dht.records.entry import Entry, decode_record, sign_entry
from dhtshare.dht.records.limits import ENTRY_TTL, PROVIDER_PERIOD, Verdict
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.simulation import EPOCH, MEDIAN_RTT_SECONDS, VirtualLoop, run_virtual
from dhtshare.identity import SigningKey
from dhtshare.network import Address, Scope
from scripts.benchmarks.goals import at_least, at_most
from tests.sim.churn import a_day
from tests.sim.records_network import NETWORK, Person, RecordsNetwork, content
from tests.sim.spam import lying_holder, spam_rule

WORDS_PER_FILE = 6
HELD = 20_000
NETWORKS = 500
PEERS = 2_000
PROVIDERS_PER_KEY = 4
RENEWAL_HOURS = 11.5
MOST_BYTES = 300


def _options(arguments: Sequence[str], **defaults: float) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args(arguments)


def churn(*arguments: str) -> dict[str, Any]:
    """Records found while nodes live a median of one hour, and when a dead publisher's are gone."""
    chosen = _options(arguments, nodes=200, hours=27.0, seed=1)
    return a_day(nodes=chosen.nodes, hours=chosen.hours, seed=chosen.seed)


def announce(*arguments: str) -> dict[str, Any]:
    """Requests that one publisher sends per file: at first, with the read-back, and by renewals of half a day.

    In that time each provider record is renewed eleven times and each entry once. `renewal_per_file` is what announcing
    the provider records takes each time; at first they are read back, too. `--entries 0`
    leaves the entries out, whose signatures take most of the time; `--hours` is how long renewals are counted.
    """
    chosen = _options(arguments, nodes=1000, files=10_000, seed=1, entries=1, hours=RENEWAL_HOURS)

    async def main(loop: VirtualLoop) -> dict[str, Any]:
        net = RecordsNetwork(loop, scope=Scope.IPV4, seed=chosen.seed, rtt=MEDIAN_RTT_SECONDS)
        async with net.living():
            net.settle(chosen.nodes)
            provider, indexer = net.people[0], net.people[1]
            costs = {"providers": await _cost(provider, chosen, lambda number: provider.share(number, ()))}
            renewed = costs["providers"][f"next_{chosen.hours}_hours_per_file"]
            costs["providers"]["renewal_per_file"] = round(renewed / int(chosen.hours), 3)
            if chosen.entries:
                costs["entries_and_providers"] = await _cost(
                    indexer, chosen, lambda number: indexer.share(number, _words(number))
                )
        return costs

    return {"nodes": chosen.nodes, "files": chosen.files, "seed": chosen.seed, **run_virtual(main)}


def _words(number: int) -> list[str]:
    """Words that no other file has: the dearest case, a key for each."""
    return [f"word{number}x{place}" for place in range(WORDS_PER_FILE)]


async def _cost(person: Person, chosen: argparse.Namespace, share: Callable[[int], object]) -> dict[str, Any]:
    files: int = chosen.files
    counters = person.dht.rpc.counters
    before = counters.calls
    for number in range(files):
        share(number)
    receipts = [await person.announcer.receipt(content(number)) for number in range(files)]
    first = counters.calls - before
    before = counters.calls
    await asyncio.sleep(chosen.hours * PROVIDER_PERIOD)
    renewals = counters.calls - before
    return {
        "first_per_file": round(first / files, 3),
        f"next_{chosen.hours}_hours_per_file": round(renewals / files, 3),
        "quorum": sum(receipt.quorum for receipt in receipts),
        "acks_per_key": round(sum(receipt.acks for receipt in receipts) / sum(receipt.keys for receipt in receipts), 2),
        "verified_keys": sum(receipt.verified for receipt in receipts),
        "keys": sum(receipt.keys for receipt in receipts),
    }


def spam(*arguments: str) -> dict[str, Any]:
    """Searches in which 500 entries of one /24 left all ten honest ones among the first 20; junk of a lying holder."""
    chosen = _options(arguments, searches=40, seeds=4)
    each = -(-chosen.searches // chosen.seeds)
    rounds = [spam_rule(seed, each) for seed in range(1, 1 + chosen.seeds)]
    buried = [one for figures in rounds for one in figures["buried"]]
    lies = [lying_holder(seed) for seed in range(1, 1 + chosen.seeds)]
    junk = [1 - honest / shown for one in lies for honest, shown in zip(one["honest"], one["shown"], strict=True)]
    return {
        "searches": len(buried),
        "seeds": chosen.seeds,
        "all_ten_in_first_20": at_least(round(buried.count(0) / len(buried), 4), 0.95),
        "worst_last_place": max(place for figures in rounds for place in figures["last_place"]),
        "least_confirmed_spam": min(count for figures in rounds for count in figures["confirmed_spam"]),
        "lying_holder": {"searches": len(junk), "share_of_junk": [round(share, 3) for share in (min(junk), max(junk))]},
    }


def record_memory(*arguments: str) -> dict[str, Any]:
    """Bytes of a store beside the entries' own, by Python's allocator.

    A holder has an entry under one of its words, seldom more, and a few records under most keys.
    """
    _options(arguments)
    key = SigningKey.from_seed(bytes(32))
    entries = [_entry(key, number) for number in range(HELD)]
    own = sum(len(raw) for raw in entries)
    listed = _weighed(lambda store: _put_entries(store, entries))
    provided = _weighed(_put_providers)
    return {
        "records": HELD,
        "entry_own_bytes": round(own / HELD, 1),
        "entry_more_bytes": at_most(round((listed - own) / HELD, 1), MOST_BYTES),
        "provider_bytes": at_most(round(provided / HELD, 1), MOST_BYTES),
    }


def _weighed(fill: Callable[[RecordStore], None]) -> int:
    gc.collect()
    tracemalloc.start()
    store = RecordStore(NETWORK, Scope.IPV4, random.Random(1))
    before = tracemalloc.get_traced_memory()[0]
    fill(store)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


def _put_entries(store: RecordStore, raws: Sequence[bytes]) -> None:
    for number, raw in enumerate(raws):
        record = decode_record(bytes(bytearray(raw)))  # bytes of its own, as it comes in a datagram
        assert isinstance(record, Entry)
        tag = (number % NETWORKS).to_bytes(3, "big")
        (verdict,) = store.put_entry(record, [number % WORDS_PER_FILE], tag, now=0.0, wall=EPOCH)
        assert verdict is Verdict.STORED


def _put_providers(store: RecordStore) -> None:
    for number in range(HELD):
        peer = number % PEERS
        address = Address(f"9.1.{peer >> 8}.{peer & 255}", 4470)
        claim = ProviderClaim(4470, peer.to_bytes(8, "big"), partial=False)
        key = content_key(NETWORK, content(number // PROVIDERS_PER_KEY))
        assert store.put_provider(key, address, claim, now=0.0) is Verdict.STORED


def _entry(key: SigningKey, number: int) -> bytes:
    return sign_entry(
        key,
        NETWORK,
        content_hash=content(number),
        sequence=int(EPOCH * 1000),
        expires=int(EPOCH + ENTRY_TTL),
        kind=Kind.FILE,
        size=1000,
        name=f"{' '.join(_words(number))}.mp3",
        words=tuple(_words(number)),
    )
