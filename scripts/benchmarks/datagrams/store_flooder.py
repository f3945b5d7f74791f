"""Stores that are all valid, from 400 addresses of two /24s, as fast as a node takes them.

store_flooder PORT NETWORK ENTRIES CROWDING PROVIDERS: says "ready" when its addresses are proved and everything is
signed, begins when its input ends, and prints what became of the records.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator

from dhtshare.content.format import Kind
from dhtshare.dht.messages import Body, Code, Method
from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.records.entry import sign_entry
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.stores import MAX_KEYS, StoreEntries, StoreProviders, read_verdicts
from dhtshare.dht.wire import RequestMessage, decode_response, encode_request
from dhtshare.identity import SigningKey
from dhtshare.network import Address, network_id
from scripts.benchmarks.datagrams.sources import Sources, together

ADDRESSES = 400
CROWDED = "walrus"  # a word that the flood and honest people share
WINDOW = 200  # datagrams under way
LOST_SECONDS = 1.0
NAME = "a name of a file as long as a name may be ".ljust(240, "x")
PROVED_PER_SECOND = 40.0  # of each address: below the rate at which it would be ignored
RNG = random.Random(4)


def entry(network: bytes, number: int, words: list[str], name: str) -> bytes:
    """A signed entry by a key of its own."""
    return sign_entry(
        SigningKey.from_seed(b"%032d" % number),
        network,
        content_hash=b"%032d" % number,
        sequence=int(time.time() * 1000),
        expires=int(time.time()) + 20 * 3600,
        kind=Kind.FILE,
        size=1000 + number,
        name=name,
        words=words,
    )


def bodies(network: bytes, entries: int, crowding: int, providers: int) -> Iterator[tuple[int, Body, int]]:
    """Method, body and number of records of each store: large entries, small ones of one word, provider records."""
    for number in range(entries):
        words = [f"{number}flood{place}".ljust(60, "x") for place in range(7)]
        yield RecordMethod.STORE_ENTRIES, StoreEntries(((entry(network, number, words, NAME), b"\0"),)).body(), 1
    for number in range(entries, entries + crowding):
        yield RecordMethod.STORE_ENTRIES, StoreEntries(((entry(network, number, [CROWDED], "x"), b"\0"),)).body(), 1
    for _ in range(providers // MAX_KEYS):
        keys = tuple(RNG.randbytes(20) for _ in range(MAX_KEYS))
        yield RecordMethod.STORE_PROVIDERS, StoreProviders(keys, ProviderClaim(4470, b"floodpee")).body(), MAX_KEYS


class Flooder:
    """Its addresses, and what the node said."""

    def __init__(self, port: int, network: bytes) -> None:
        self.sources = Sources(ADDRESSES, together)
        self.target = Address("127.0.0.1", port)
        self.network = network
        self.tokens = [b""] * ADDRESSES
        self.ids = [bound_id(host, RNG) for host in self.sources.hosts]
        self.said: Counter[str] = Counter()
        self._under_way: dict[int, tuple[int, float]] = {}  # by its number: records, and when it was sent

    def prove(self) -> None:
        """A token for each address."""
        while not all(self.tokens):
            for number in range(ADDRESSES):
                if not self.tokens[number]:
                    self._send(number, number, Method.PING, {})
            self.sources.wait(0.3)
            while (heard := self.sources.receive()) is not None:
                self.tokens[heard[0]] = decode_response(heard[1]).token

    def prepare(self, stores: Iterator[tuple[int, Body, int]]) -> list[tuple[bytes, int]]:
        """Datagrams, the n-th from address n mod ADDRESSES, with their numbers of records."""
        return [
            (self._request(number % ADDRESSES, number, method, body), records)
            for number, (method, body, records) in enumerate(stores)
        ]

    def flood(self, datagrams: list[tuple[bytes, int]]) -> float:
        """Sends all once, WINDOW of them under way at most; the seconds that it took."""
        began = time.monotonic()
        sent = 0
        while sent < len(datagrams) or self._under_way:
            now = time.monotonic()
            due = int((now - began) * PROVED_PER_SECOND * ADDRESSES)
            while sent < min(len(datagrams), due) and len(self._under_way) < WINDOW:
                data, records = datagrams[sent]
                if not self.sources.send(sent % ADDRESSES, data, self.target):
                    break
                self._under_way[sent] = records, now
                sent += 1
            self.sources.wait(0.002)
            self._hear()
            for number, (records, at) in list(self._under_way.items()):
                if now - at < LOST_SECONDS:
                    break  # they are in the order in which they were sent
                del self._under_way[number]
                self.said["lost"] += records
        return time.monotonic() - began

    def _hear(self) -> None:
        while (heard := self.sources.receive()) is not None:
            data = heard[1]
            number = int.from_bytes(data[5:9], "big")
            if data[4] != 1 or number not in self._under_way:
                continue
            records, _ = self._under_way.pop(number)
            answer = decode_response(data)
            if answer.code:
                self.said[Code(answer.code).name.lower()] += records
            else:
                self.said.update(Verdict(one).name.lower() for one in read_verdicts(answer.body, records))

    def _request(self, number: int, count: int, method: int, body: Body) -> bytes:
        identifier = count.to_bytes(4, "big") + bytes(16)
        message = RequestMessage(method, self.ids[number], body, True, self.tokens[number], self.target)
        return encode_request(self.network, identifier, message)

    def _send(self, number: int, count: int, method: int, body: Body) -> None:
        self.sources.send(number, self._request(number, count, method, body), self.target)


def main() -> None:
    port, network = int(sys.argv[1]), network_id(sys.argv[2])
    flooder = Flooder(port, network)
    flooder.prove()
    datagrams = flooder.prepare(bodies(network, *map(int, sys.argv[3:6])))
    print("ready", flush=True)
    sys.stdin.read()
    seconds = flooder.flood(datagrams)
    print(json.dumps({"seconds": round(seconds, 1), "datagrams": len(datagrams), "records": dict(flooder.said)}))
    flooder.sources.close()


if __name__ == "__main__":
    main()
