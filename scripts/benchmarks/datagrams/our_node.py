"""One scope of our DHT as a process of its own: the sockets, checks and rates of a node, and a full table."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import sys
import time

from dhtshare.dht.contact import Contact
from dhtshare.dht.dht import Dht
from dhtshare.dht.nodeid import bound_id
from dhtshare.listening import listen
from dhtshare.network import Address, Scope, ScopeRules, network_id
from scripts.benchmarks.datagrams.sources import apart

NETWORK = network_id("benchmark")
KNOWN = 20_000  # addresses that are offered to the table; it keeps as many as its rules allow


async def serve() -> None:
    """Until standard input ends. 127/8 counts as the world, so that all rules of a global scope hold."""
    rng = random.SystemRandom()
    rules = ScopeRules([ipaddress.ip_network("127.0.0.0/8")])
    dht = Dht(NETWORK, rules, rng, time.time, reachable="yes")
    listening = listen("127.0.0.1", 0)
    await dht.start(listening.udp)
    scope = dht.scopes[Scope.IPV4]
    for number in range(KNOWN):
        host = apart(number)
        scope.table.answered(Contact(bound_id(host, rng), Address(host, 4470)), scope.rpc.now())
    print(json.dumps({"port": listening.port, "contacts": scope.contacts}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(scope.rpc.counters.as_dict()), flush=True)
    await dht.stop()
    listening.close()


if __name__ == "__main__":
    asyncio.run(serve())
