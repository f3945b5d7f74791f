"""Hostile UDP against real nodes: reflection, forged and replayed stores, keyword spam, counted by raw sockets."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass

import pytest

from dhtshare.content.format import Kind
from dhtshare.content.keywords import keyword_key
from dhtshare.dht.messages import Code, Method
from dhtshare.dht.records.entry import sign_entry, sign_withdrawal
from dhtshare.dht.records.finds import FindEntries, FindProviders
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.stores import Gone, StoreEntries, StoreProviders, Withdraw
from dhtshare.dht.wire import AMPLIFICATION, HEADER_BYTES, MAX_DATAGRAM_BYTES
from dhtshare.identity import SigningKey
from dhtshare.network import network_id
from tests.e2e.conftest import MakeFile, make_file  # noqa: F401 - a fixture
from tests.hostile.raw_node import RawNode
from tests.processes import Network, Node

METHODS = [*Method, *RecordMethod, 0, 12, 99, 65535]
HOUR = 3600


@pytest.fixture(scope="module", params=["lan", "global"])
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    """Nodes that know each other and hold records: the first of them has as much to answer as it ever will."""
    options = ("--treat-as-public", "127.0.0.0/8") if request.param == "global" else ()
    with Network(tmp_path_factory.mktemp(request.param)) as network:
        nodes = [network.node(*options) for _ in range(3)]
        for number, node in enumerate(nodes):
            path = network.folder / f"walrus song {number}.bin"
            path.write_bytes(os.urandom(1000))
            node.run("publish", path, code=None)
        yield nodes


def signed(
    network: str,
    number: int,
    *,
    key: bytes | None = None,
    sequence: int | None = None,
    ttl: float = HOUR,
    word: str = "walrus",
    name: str | None = None,
) -> bytes:
    return sign_entry(
        SigningKey.from_seed(key or b"%032d" % number),
        network_id(network),
        content_hash=b"%032d" % number,
        sequence=int(time.time() * 1000) if sequence is None else sequence,
        expires=int(time.time() + ttl),
        kind=Kind.FILE,
        size=1000 + number,
        name=name or f"spam {number}.bin",
        words=[word],
    )


def test_an_unproved_address_draws_at_most_three_times_what_it_sent(crowd: list[Node]) -> None:
    """Every method, every size, well-formed and bent, with and without a token that is not ours."""
    network = crowd[0].home.network.name
    rng = random.Random(7)
    worst, asked, answered = 0.0, 0, 0
    key = keyword_key(network_id(network), "walrus")
    with RawNode(network) as stranger:
        bodies = [
            *({2: os.urandom(20)}, {2: key, 8: 16}, FindEntries(key, Query(("walrus",)), parts=16).body(), {}),
            *(FindProviders(key, 16).body(), StoreProviders((key,), ProviderClaim(1, b"peerpeer")).body()),
            *(StoreEntries(((signed(network, 1), b"\0"),)).body(), Gone().body(), {2: key, 4: 0, 6: bytes(8)}),
            {100: 1, 2: key},
        ]
        for method in METHODS:
            for body in bodies:
                request = stranger.request(
                    method, body, token=rng.choice((b"", os.urandom(8))), client=rng.random() < 0.5
                )
                cut = request[: rng.randrange(HEADER_BYTES, len(request))]
                longer = request + bytes(rng.randrange(MAX_DATAGRAM_BYTES + 200 - len(request)))
                for datagram in (request, cut, longer):
                    stranger.send(crowd[0].address, datagram)
                    asked += 1
                    came = stranger.receive(0.01)
                    answered += len(came)
                    worst = max(worst, sum(map(len, came)) / len(datagram))
                    assert len(came) <= 1, "one datagram for one"
            if "treat-as-public" in str(crowd[0].running.process.args):
                time.sleep(0.4)  # the rate for a stranger: what is dropped would prove nothing
        assert stranger.receive(3.0) == [], "and nothing unsolicited afterwards"
    assert answered > asked / 4
    assert 1.0 < worst <= AMPLIFICATION


def test_whatever_changes_a_store_needs_a_token_of_this_address(crowd: list[Node]) -> None:
    network = crowd[0].home.network.name
    key = keyword_key(network_id(network), "walrus")
    bodies = {
        RecordMethod.STORE_PROVIDERS: StoreProviders((key,), ProviderClaim(2222, b"peerpeer")).body(),
        RecordMethod.STORE_ENTRIES: StoreEntries(((signed(network, 1), b"\0"),)).body(),
        RecordMethod.WITHDRAW: Withdraw(((signed(network, 1), (key,)),)).body(),
        RecordMethod.GONE: Gone().body(),
    }
    with RawNode(network) as stranger, RawNode(network) as other:
        foreign = other.prove(crowd[0].address)
        own = stranger.prove(crowd[0].address)
        assert foreign != own
        for method, body in bodies.items():
            for token in (b"", foreign, os.urandom(8), own[:-1] + bytes((own[-1] ^ 1,))):
                (refused,) = stranger.ask(crowd[0].address, method, body, token=token)
                assert refused.code == Code.UNPROVED
        (elsewhere,) = stranger.ask(
            crowd[1].address, RecordMethod.STORE_ENTRIES, bodies[RecordMethod.STORE_ENTRIES], token=own
        )
        assert elsewhere.code == Code.UNPROVED, "a token of another node"


@dataclass
class Forger:
    """A thousand ways to store what nobody signed, or signed no longer."""

    network: str
    rng: random.Random

    def forged(self, number: int) -> bytes:
        """Bent after signing, signed for another network, of a stranger's key, past, or too far ahead."""
        match number % 5:
            case 0:
                raw = bytearray(signed(self.network, number, word="forged"))
                raw[self.rng.randrange(len(raw))] ^= 1 << self.rng.randrange(8)
                return bytes(raw)
            case 1:
                return signed(self.network + "x", number, word="forged")
            case 2:
                one, other = (signed(self.network, number, key=key * 32, word="forged") for key in (b"a", b"b"))
                return one[:64] + other[64:]
            case 3:
                return signed(self.network, number, ttl=-self.rng.randrange(1, 10 * HOUR), word="forged")
            case _:
                return signed(self.network, number, ttl=26 * HOUR + self.rng.randrange(HOUR), word="forged")


def test_of_a_thousand_forged_stores_none_is_visible(crowd: list[Node]) -> None:
    network = crowd[0].home.network.name
    forger = Forger(network, random.Random(11))
    with RawNode(network) as stranger:
        for start in range(0, 1000, 250):
            raws = [forger.forged(number) for number in range(start, start + 250)]
            verdicts = stranger.store([crowd[start // 250 % 3].address], raws)
            assert set(verdicts) <= {Verdict.FORGED, Verdict.EXPIRED}
    for node in crowd:
        assert node.run("search", "forged", code=4).result["results"] == []


def test_replays_bring_nothing_back(crowd: list[Node]) -> None:
    """An older entry after a newer one, and any entry after its withdrawal."""
    network = crowd[0].home.network.name
    key = SigningKey.from_seed(b"replayed".ljust(32))
    now = int(time.time() * 1000)
    everyone = [node.address for node in crowd]

    def version(sequence: int) -> bytes:
        name = f"version {sequence}"
        return signed(network, 5000, key=b"replayed".ljust(32), sequence=now + sequence, word="replayed", name=name)

    with RawNode(network) as stranger:
        stranger.store(everyone, [version(1)])
        stranger.store(everyone, [version(2)])
        stranger.store(everyone, [version(1)] * 10)
        assert [hit["name"] for hit in crowd[0].run("search", "replayed").result["results"]] == ["version 2"]
        withdrawal = sign_withdrawal(
            key,
            network_id(network),
            content_hash=b"%032d" % 5000,
            sequence=now + 3,
            expires=int(time.time()) + 2 * HOUR,
        )
        for address in everyone:
            body = Withdraw(((withdrawal, (keyword_key(network_id(network), "replayed"),)),)).body()
            (answer,) = stranger.ask(address, RecordMethod.WITHDRAW, body)
            assert not answer.code
        stranger.store(everyone, [version(1), version(2), version(3)] * 5)
    for node in crowd:
        assert node.run("search", "replayed", code=4).result["results"] == []


def test_nobody_is_put_into_a_provider_record_but_who_asks(crowd: list[Node]) -> None:
    """The holder writes down the address that it saw; only the port is the asker's word."""
    network = crowd[0].home.network.name
    key = os.urandom(20)
    with RawNode(network, "127.0.0.77") as stranger:
        stranger.prove(crowd[0].address)
        body = StoreProviders((key,), ProviderClaim(4471, b"peerpeer")).body() | {9: b"\x08\x08\x08\x08"}
        (stored,) = stranger.ask(crowd[0].address, RecordMethod.STORE_PROVIDERS, body)
        assert stored.body[2] == bytes((Verdict.STORED,))
        (found,) = stranger.ask(crowd[0].address, RecordMethod.FIND_PROVIDERS, FindProviders(key).body())
    provider = found.body[2]
    assert isinstance(provider, bytes)
    assert provider[:6] == bytes((127, 0, 0, 77)) + (4471).to_bytes(2, "big")


def test_keyword_spam_does_not_bury_what_people_really_hold(network: Network, make_file: MakeFile) -> None:  # noqa: F811
    """500 entries signed by 500 keys from one address, against ten files that somebody holds."""
    nodes = network.nodes(4)
    honest = set()
    for number in range(10):
        path = make_file(f"walrus honest {number}.bin")
        honest.add(nodes[number % 3].run("publish", path).result["hash"])
    with RawNode(network.name, "127.0.0.66") as spammer:
        spam = [signed(network.name, number) for number in range(500)]
        spammer.store([node.address for node in nodes], spam)
    for _ in range(5):
        found = nodes[3].run("search", "walrus", "--limit", 20, "--timeout", 30).result["results"]
        assert honest <= {hit["hash"] for hit in found}
    everything = nodes[3].run("search", "walrus", "--limit", 100, "--timeout", 30).result["results"]
    assert len(everything) > 50, "the spam is there, it only stands behind"
