"""Sends garbage at a steady rate from ten thousand addresses: noise, bent requests and answers, replays, bad stores.

flooder PORT NETWORK RATE SECONDS: prints how many datagrams really went out.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time

from dhtshare.dht.messages import Method
from dhtshare.dht.wire import RequestMessage, ResponseMessage, encode_request, encode_response
from dhtshare.network import Address, network_id
from scripts.benchmarks.datagrams.sources import Sources
from tests.fuzz.mutate import mutations

PREPARED = 20_000
TICK_SECONDS = 0.005
MAX_BYTES = 1400  # a little over what a datagram of ours may have


def garbage(network: bytes, rng: random.Random) -> list[bytes]:
    """None of it is honest; most of it is decoded some way before it is found out."""
    seeds = [
        encode_request(network, bytes(20), RequestMessage(Method.PING, bytes(20), {})),
        encode_request(network, bytes(20), RequestMessage(Method.FIND_NODE, bytes(20), {2: bytes(20)}, True, bytes(8))),
        encode_request(network, bytes(20), RequestMessage(22, bytes(20), {2: [bytes(300)] * 2}, False, bytes(8))),
        encode_response(network, bytes(20), ResponseMessage(bytes(20), {}, seen=Address("127.0.0.1", 1))),
    ]
    bent = itertools.islice(mutations(seeds, rng), PREPARED // 2)
    kept = [data[:MAX_BYTES] if data[:4] == network else (network + data)[:MAX_BYTES] for data in bent]
    return kept + [rng.randbytes(rng.randrange(MAX_BYTES)) for _ in range(PREPARED - len(kept))]


def main() -> None:
    port, network, rate, seconds = int(sys.argv[1]), network_id(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    rng = random.Random(1)
    datagrams = garbage(network, rng)
    rng.shuffle(datagrams)
    sources = Sources(10_000)
    target = ("127.0.0.1", port)
    sent = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(int(passed * rate) - sent):
            sources.send(sent % len(sources.hosts), datagrams[sent % len(datagrams)], target)
            sent += 1
        while sources.receive() is not None:
            pass  # it hears refusals, and minds them not
        time.sleep(TICK_SECONDS)
    print(json.dumps({"sent": sent, "seconds": round(time.perf_counter() - began, 2)}))
    sources.close()


if __name__ == "__main__":
    main()
