"""Which contacts a table has a seat for, as far as their owner is concerned."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht import seats
from dhtshare.dht.adapter import Bucket, TableNode
from dhtshare.dht.contact import Contact
from dhtshare.network import Address, Scope

OWN = 0
FAR, NEAR = 160, 159


class Seated:
    """Buckets of a table whose own id is 0, filled by hand."""

    def __init__(self, scope: Scope = Scope.IPV4, k: int = 20) -> None:
        self.scope = scope
        self.k = k
        self.buckets: dict[int, Bucket] = {}
        self.rng = random.Random(1)

    def contact(self, host: str, port: int = 4470, index: int = FAR) -> Contact:
        return Contact((1 << (index - 1) | self.rng.getrandbits(index - 1)).to_bytes(20, "big"), Address(host, port))

    def free(self, host: str, port: int = 4470, index: int = FAR) -> bool:
        contact = self.contact(host, port, index)
        others = seats.of_owner(self.buckets, contact, self.scope)
        return seats.free(others, contact, self.buckets.get(index), self.scope)

    def take(self, host: str, port: int = 4470, index: int = FAR) -> bool:
        """Seat it if there is a seat; whether there was."""
        if not self.free(host, port, index):
            return False
        contact = self.contact(host, port, index)
        self.buckets.setdefault(index, Bucket(OWN, index, self.k)).add_node(TableNode(contact, 0.0))
        return True

    def leave(self, address: Address) -> None:
        (node,) = [node for node in seats.seated(self.buckets) if node.contact.address == address]
        self.buckets[node.long_id.bit_length()].remove_node(node)


def test_one_machine_has_one_seat_at_whatever_port_and_in_whatever_bucket() -> None:
    table = Seated()
    assert table.take("4.4.4.4")
    assert not table.free("4.4.4.4", 5000)
    assert not table.free("4.4.4.4", 5000, NEAR)


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        (Scope.IPV4, ["4.4.4.1", "4.4.4.2", "4.4.4.255"], "4.4.5.1"),
        (Scope.IPV6, ["2a00:1:2::1", "2a00:1:2:ffff::1", "2a00:1:2:3::1"], "2a00:1:3::1"),
    ],
)
def test_one_network_has_two_seats_in_each_bucket(scope: Scope, same: list[str], other: str) -> None:
    table = Seated(scope)
    assert [table.take(host) for host in same] == [True, True, False]
    assert table.take(other)
    assert table.take(same[2], index=NEAR)


def test_one_network_has_ten_seats_in_all() -> None:
    table = Seated()
    assert sum(table.take(f"4.4.4.{number}", index=FAR - number // 2) for number in range(1, 41)) == 10


def test_who_waits_as_a_replacement_has_a_seat_too() -> None:
    table = Seated(k=1)
    assert table.take("4.4.4.1")
    assert table.take("4.4.4.2")
    assert [node.contact.address.host for node in table.buckets[FAR].replacement_nodes.values()] == ["4.4.4.2"]
    assert not table.free("4.4.4.2", 5000)
    assert not table.free("4.4.4.3")


def test_in_the_lan_only_an_address_is_taken() -> None:
    table = Seated(Scope.LAN, k=200)
    assert all(table.take("10.0.0.1", port) for port in range(2000, 2100))
    assert not table.free("10.0.0.1", 2000)
    table.leave(Address("10.0.0.1", 2000))
    assert table.free("10.0.0.1", 2000)


@pytest.mark.parametrize("seed", range(20))
def test_seats_agree_with_a_plain_list(seed: int) -> None:
    rng = random.Random(seed)
    table = Seated(k=4)  # so that some of them are replacements
    taken: list[tuple[Address, int]] = []
    for _ in range(300):
        if taken and (rng.random() < 0.4 or len(taken) == 8):
            address, _ = taken.pop(rng.randrange(len(taken)))
            table.leave(address)
            continue
        address = Address(f"4.4.{rng.randrange(3)}.{rng.randrange(1, 6)}", rng.randrange(2000, 2003))
        index = rng.choice((FAR, NEAR))
        network = address.host.rpartition(".")[0]
        beside = [other for other in taken if other[0].host.rpartition(".")[0] == network]
        expected = (
            address.host not in [other.host for other, _ in taken]
            and len(beside) < 10
            and sum(other == index for _, other in beside) < 2
        )
        assert {node.contact.address for node in seats.seated(table.buckets)} == {other for other, _ in taken}
        assert table.free(address.host, address.port, index) == expected
        if expected:
            assert table.take(address.host, address.port, index)
            taken.append((address, index))
