"""How many copies there are, and which part nobody has."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.transfer.availability import Availability, Part, lacking, parts_of
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.runs import bits_of

MIB = 1 << 20


def file_of(size: int) -> FileDescriptor:
    return FileDescriptor(size, bytes(32 * ((size + MIB - 1) // MIB)))


@given(st.integers(1, 60), st.lists(st.one_of(st.none(), st.sets(st.integers(0, 59))), max_size=9))
def test_counts_are_those_of_counting(chunks: int, holders: list[set[int] | None]) -> None:
    """Beside a count of every chunk in every peer."""
    counts = Counter(dict.fromkeys(range(chunks), 0))
    for holder in holders:
        counts.update(chunk for chunk in (range(chunks) if holder is None else holder) if chunk < chunks)
    available = Availability.of(chunks, [None if holder is None else bits_of(holder) for holder in holders])
    least = min(counts.values())
    assert available.full == sum(holder is None for holder in holders)
    assert available.rarest == least
    assert available.copies == least + sum(count > least for count in counts.values()) / chunks
    assert available.nobody == bits_of(chunk for chunk, count in counts.items() if not count)


@given(st.integers(1, 40), st.lists(st.one_of(st.none(), st.sets(st.integers(0, 39))), max_size=7), st.randoms())
def test_the_picker_counts_the_same(chunks: int, holders: list[set[int] | None], rng: object) -> None:
    """The picker keeps its counts as peers come, tell more, and go; here all at once."""
    picker = Picker(chunks, (1 << chunks) - 1, rng)  # type: ignore[arg-type]
    everything = (1 << chunks) - 1
    picker.peer_has("goes again", everything)
    for number, holder in enumerate(holders):
        picker.peer_has(number, 0 if holder is None else bits_of(holder), complete=holder is None)
    picker.peer_gone("goes again")
    counted = Availability.of(chunks, [None if holder is None else bits_of(holder) & everything for holder in holders])
    assert picker.availability() == counted


def test_what_is_here_already_is_not_lacking() -> None:
    from random import Random

    picker = Picker(4, 0b0110, Random(1), have=0b1001)
    picker.peer_has("peer", 0b0010)
    assert picker.availability().nobody == 0b0100
    picker.requested("peer", 1)
    picker.verified(1)
    assert picker.availability().nobody == 0b0100


def test_sentences() -> None:
    assert Availability(2, 3, 3.4, 0).sentence() == "2 full copies, rarest chunk 3 times"
    assert Availability(1, 1, 1.0, 0).sentence() == "1 full copy, rarest chunk 1 time"
    assert Availability(0, 0, 0.75, 0b1).sentence() == "0 full copies, 0.75 copies in all"


def test_parts_of_one_file_are_stretches() -> None:
    layout = Layout.of(file_of(5 * MIB + 7))
    assert list(parts_of(layout, 0)) == []
    assert list(parts_of(layout, 0b110011)) == [Part("", 0, 2 * MIB), Part("", 4 * MIB, 5 * MIB + 7)]


def test_parts_of_a_collection_end_with_their_file() -> None:
    entries = [
        CollectionEntry("a.bin", 2 * MIB, bytes(32), False),
        CollectionEntry("b.bin", 10, b"\x01" * 32, False),
        CollectionEntry("c.bin", 3 * MIB, b"\x02" * 32, False),
    ]
    layout = Layout.of(CollectionDescriptor.of(entries))
    assert list(parts_of(layout, 0b001110)) == [
        Part("a.bin", MIB, 2 * MIB),
        Part("b.bin", 0, 10),
        Part("c.bin", 0, MIB),
    ]
    assert [part.fields() for part in parts_of(layout, 0b100)] == [{"path": "b.bin", "begin": 0, "end": 10}]
    said = lacking(layout, 0b001110)
    assert said == (
        "3 of its 6 chunks are held by none of them: 'a.bin' 1.0 to 2.0 MiB, 'b.bin', 'c.bin' 0.0 to 1.0 MiB."
    )


def test_a_content_full_of_holes_is_told_briefly() -> None:
    layout = Layout.of(file_of(40 * MIB))
    said = lacking(layout, int("01" * 20, 2))
    assert said.startswith("20 of its 40 chunks are held by none of them: 0.0 to 1.0 MiB, ")
    assert said.endswith("….")
    assert len(said) < 120
    assert lacking(layout, 0) == ""
    assert lacking(layout, 1) == "1 of its 40 chunks is held by none of them: 0.0 to 1.0 MiB."
