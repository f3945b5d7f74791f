"""A node among liars goes on: no exception, no dead socket. A million of them: `scripts/bench hostile-datagrams`."""

from __future__ import annotations

import random

from dhtshare import network
from dhtshare.dht import compact, nodeid, routing
from dhtshare.dht.rates import MAX_KEYS
from dhtshare.dht.wire import HEADER_BYTES, MAX_DATAGRAM_BYTES, decode_request
from dhtshare.errors import MalformedError
from dhtshare.network import REMEMBERED
from tests.hostile.datagrams import Liar, among_liars, forged_sources, on_sockets, well_formed
from tests.sim.records_network import NETWORK


def test_a_node_that_holds_searches_and_publishes_among_liars() -> None:
    ground = among_liars(6_000)
    assert ground.faults == []
    assert ground.answers > 500


def test_a_real_socket_under_a_flood() -> None:
    ground = on_sockets(8_000)
    assert ground.faults == []


def test_forged_sources_leave_little_behind() -> None:
    """Each is another address: what is kept by address has a limit, and a low one. Its bytes: the bench."""
    assert forged_sources(3_000).faults == []
    caches = [value for module in (network, compact, nodeid, routing) for value in vars(module).values()]
    sizes = [cache.cache_parameters()["maxsize"] for cache in caches if hasattr(cache, "cache_parameters")]
    assert len(sizes) >= 7
    assert max(sizes) <= REMEMBERED <= 16_384
    assert MAX_KEYS <= REMEMBERED


def test_the_liars_are_neither_all_true_nor_all_noise() -> None:
    liar = Liar(random.Random(2))
    made = [liar.request(b"t" * 8) for _ in range(2000)]
    of_us = [data for data in made if data[:4] == NETWORK and len(data) > HEADER_BYTES]
    assert 1500 < len(of_us) < 2000
    assert 0.4 < sum(map(well_formed, of_us)) / len(of_us) < 0.9
    methods = set()
    for data in of_us:
        try:
            methods.add(decode_request(data).method)
        except MalformedError:
            continue
    assert len(methods) > 14, "every method is asked for, and some that are none"
    assert any(len(data) > MAX_DATAGRAM_BYTES for data in made)
    answers = [part for _ in range(500) for part in liar.answer(made[0] + bytes(30), bytes(20), ())]
    assert len({bytes(part) for part in answers}) > 400
