"""Of which records one is looked up, and which holders are asked for the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.read_back import BUNDLE, bundles, cover
from dhtshare.network import Address

HOLDERS = [Contact(bytes([number]) * 20, Address(f"10.0.0.{number + 1}", 4470)) for number in range(8)]


@given(st.integers(0, 500))
def test_bundles_part_a_region_in_order_and_are_of_about_one_size(count: int) -> None:
    parts = [list(part) for part in bundles(range(count))]
    assert [record for part in parts for record in part] == list(range(count))
    sizes = [len(part) for part in parts]
    assert len(sizes) == -(-count // BUNDLE)
    assert not sizes or 0 < min(sizes) <= max(sizes) <= min(BUNDLE, min(sizes) + 1)


@given(st.lists(st.sets(st.sampled_from(HOLDERS)), max_size=40))
def test_every_record_that_somebody_keeps_is_asked_of_one_who_keeps_it(keepers: list[set[Contact]]) -> None:
    asked = cover(range(len(keepers)), lambda record: keepers[record])
    of = [(contact, record) for contact, records in asked.items() for record in records]
    assert all(contact in keepers[record] for contact, record in of)
    assert sorted(record for _, record in of) == [number for number, kept in enumerate(keepers) if kept]
    assert all(asked.values())


def test_whoever_keeps_most_is_asked_first_and_few_are_enough() -> None:
    kept = {record: HOLDERS[record % 7 : record % 7 + 1] + HOLDERS[7:] for record in range(100)}
    assert cover(list(kept), kept.__getitem__) == {HOLDERS[7]: list(range(100))}
