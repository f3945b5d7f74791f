"""The routing table against a naive model, step by step, in the LAN scope and under the rules of the global ones."""

from __future__ import annotations

import ipaddress
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dhtshare.dht.contact import Contact
from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.routing import FRESH_SECONDS, Table
from dhtshare.network import Address, Scope
from tests.property.dht.table_model import TableModel, network_of

SMALL_K = 3  # a full bucket with full replacements is then six contacts away
OWN = bytes(20)


def _lan_pool() -> list[Contact]:
    """Few ids in few buckets, several addresses each, some of them loopback: everything that can collide does."""
    ids = [OWN]
    for index in (160, 160, 160, 160, 160, 160, 160, 160, 159, 159, 158, 3, 1):
        ids.append(((1 << (index - 1)) | (len(ids) % (1 << (index - 1)))).to_bytes(20, "big"))
    hosts = ("127.0.0.1", "10.0.0.1", "10.0.0.2")
    return [Contact(node_id, Address(host, 4000 + n)) for n, node_id in enumerate(ids) for host in hosts] + [
        Contact(ids[1], Address("10.0.0.1", 4002)),  # an address that others here have under another id
        Contact(ids[2], Address("10.0.0.2", 4001)),
    ]


def _global_pool(own: bytes) -> list[Contact]:
    """Five hosts in each of six /24s, two ids each that they may have, and some that they may not."""
    rng = random.Random(5)
    hosts = [f"{first}.1.1.{last}" for first in (8, 9, 11, 12, 13, 14) for last in range(1, 6)]
    pool = [Contact(bound_id(host, rng), Address(host, 4470)) for host in hosts for _ in range(2)]
    pool += [Contact(bound_id(hosts[0], rng), Address(hosts[0], port)) for port in (80, 4471)]
    return [*pool, Contact(pool[0].node_id, Address("15.1.1.1", 4470)), Contact(own, Address("8.1.1.1", 4470))]


class TableMachine(RuleBasedStateMachine):
    """Facts go to both; after each of them both must give the same answers."""

    scope: Scope
    pool: list[Contact]
    own: bytes
    others: tuple[bytes, ...]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0
        self.table = Table(self.own, self.scope, SMALL_K)
        self.model = TableModel(self.own, self.scope, SMALL_K)
        self.version = 0
        self.before: list[Contact] = []

    def _pick(self, number: int) -> Contact:
        return self.pool[number % len(self.pool)]

    @initialize(seed=st.integers(0, 1 << 30), count=st.sampled_from([0, 8, 30, 60]))
    def start_with(self, seed: int, count: int) -> None:
        """Somebody is there: from an empty table it is a long way to a full bucket."""
        for number in random.Random(seed).sample(range(len(self.pool)), min(count, len(self.pool))):
            self.answered(number)

    @rule(number=st.integers(0, 400))
    def answered(self, number: int) -> None:
        self.now += 1.0
        contact = self._pick(number)
        assert self.table.answered(contact, self.now) is self.model.answered(contact, self.now)

    @rule(number=st.integers(0, 400))
    def heard(self, number: int) -> None:
        self.now += 1.0
        contact = self._pick(number)
        wanted = self.table.wants(contact)
        assert self.table.asked(*contact, self.now) is wanted
        assert not (self.model.heard(contact, self.now) and wanted)

    @precondition(lambda self: self.model.entries)
    @rule(data=st.data(), times=st.integers(1, 4))
    def failed(self, data: st.DataObject, times: int) -> None:
        contact = data.draw(st.sampled_from([entry.contact for entry in self.model.entries]))
        for _ in range(times):
            self.now += 1.0
            assert self.table.failed(contact, self.now) is self.model.failed(contact, self.now)

    @rule(number=st.integers(0, 400))
    def failed_or_unknown(self, number: int) -> None:
        contact = self._pick(number)
        assert self.table.failed(contact, self.now) is self.model.failed(contact, self.now)

    @rule(number=st.integers(0, 400))
    def dismiss(self, number: int) -> None:
        contact = self._pick(number)
        self.table.dismiss(contact)
        self.model.dismiss(contact)

    @rule(seconds=st.sampled_from([1.0, 30.0, FRESH_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 5))
    def move(self, number: int) -> None:
        own = self.others[number % len(self.others)]
        self.table, self.model = self.table.moved_to(own), self.model.moved_to(own)
        self.version, self.before = 0, []

    @rule(wanted=st.binary(min_size=20, max_size=20), count=st.integers(1, 12), loopback=st.booleans())
    def nearest(self, wanted: bytes, count: int, loopback: bool) -> None:
        def nameable(address: Address) -> bool:
            return loopback or not ipaddress.ip_address(address.host).is_loopback

        expected = self.model.nearest(wanted, count, nameable)
        assert self.table.nearest(wanted, count, loopback=loopback) == expected

    @rule(number=st.integers(0, 400))
    def wants(self, number: int) -> None:
        contact = self._pick(number)
        assert self.table.wants(contact) is self.model.wants(contact)

    @rule(limit=st.integers(1, 100))
    def to_check(self, limit: int) -> None:
        assert self.table.to_check(self.now, limit) == self.model.to_check(self.now)[:limit]

    @invariant()
    def buckets_are_equal(self) -> None:
        for index in {self.model.index(contact.node_id) for contact in self.pool} - {0}:
            bucket = self.table.buckets.get(index)
            nodes = [] if bucket is None else [node.contact for node in bucket.nodes.values()]
            waiting = [] if bucket is None else [node.contact for node in bucket.replacement_nodes.values()]
            assert nodes == [entry.contact for entry in self.model.bucket(index, active=True)]
            assert waiting == [entry.contact for entry in self.model.bucket(index, active=False)]
        assert set(self.table) == {entry.contact for entry in self.model.active()}
        assert len(self.table) == len(set(self.table)) == sum(self.table.sizes().values())

    @invariant()
    def promises_hold(self) -> None:
        entries = self.model.entries
        assert len(self.table.buckets) <= 160
        assert all(size <= SMALL_K for size in self.table.sizes().values())
        assert self.own not in [contact.node_id for contact in self.table] or self.table.node.id != self.own
        assert len({entry.contact.address for entry in entries}) == len(entries)
        assert len({entry.contact.node_id for entry in entries}) == len(entries)
        for index in self.table.sizes():
            assert not self.model.bucket(index, active=False) or self.table.sizes()[index] == SMALL_K
        if self.scope is not Scope.LAN:
            hosts = [entry.host for entry in entries]
            assert len(set(hosts)) == len(hosts)
            places = [(network_of(entry.host), self.model.index(entry.contact.node_id)) for entry in entries]
            assert all(places.count(place) <= 2 for place in places)

    @invariant()
    def a_changed_answer_has_another_version(self) -> None:
        named = self.table.nearest(OWN, 1000)
        if named != self.before:
            assert self.table.version > self.version
        self.before, self.version = named, self.table.version


class LanTable(TableMachine):
    scope = Scope.LAN
    own = OWN
    pool = _lan_pool()
    others = (bytes(19) + b"\x01", b"\xff" * 20, OWN)


class GlobalTable(TableMachine):
    scope = Scope.IPV4
    own = bound_id("5.5.5.5", random.Random(1))
    pool = _global_pool(own)
    others = tuple(bound_id(f"6.6.6.{last}", random.Random(last)) for last in range(3))


TestLanTable = LanTable.TestCase
TestGlobalTable = GlobalTable.TestCase
TestLanTable.settings = TestGlobalTable.settings = settings(max_examples=100, stateful_step_count=60)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1 << 30),
    nodes=st.sampled_from([0, 1, 20, 21, 150, 500]),
    spread=st.sampled_from([160, 24, 9]),
    count=st.integers(1, 30),
)
def test_the_closest_are_those_of_brute_force(seed: int, nodes: int, spread: int, count: int) -> None:
    """With ids that share all but the last bits, the closest lie in many small buckets, where stock got lost."""
    rng = random.Random(seed)
    own = rng.randbytes(20)
    table = Table(own, Scope.LAN)
    known: set[Contact] = set()
    for port in range(1, nodes + 1):
        low = int.from_bytes(own, "big") ^ rng.getrandbits(rng.randrange(1, spread + 1))
        contact = Contact(low.to_bytes(20, "big"), Address("10.0.0.1", port))
        if table.answered(contact, float(port)):
            known.add(contact)
    assert set(table) == known
    for target in (own, rng.randbytes(20), *(contact.node_id for contact in list(known)[:5])):
        expected = sorted(known, key=lambda contact: contact.distance_to(target))[:count]
        assert table.nearest(target, count) == expected
