"""The bitfield keeps its count, its bit order and its spare bits right."""

from __future__ import annotations

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.errors import MalformedError


def test_the_first_chunk_is_the_least_significant_bit() -> None:
    assert Bitfield(9, [0, 8]).to_bytes() == b"\x01\x01"


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 65_536])
def test_a_full_field_has_all_and_misses_none(length: int) -> None:
    field = Bitfield.full(length)
    assert field.complete
    assert len(field) == length
    assert list(field.iter_missing()) == []
    assert Bitfield.from_bytes(length, field.to_bytes()) == field


def test_adding_twice_counts_once() -> None:
    field = Bitfield(3)
    assert field.add(1)
    assert not field.add(1)
    assert len(field) == 1
    field.discard(1)
    field.discard(1)
    assert len(field) == 0


def test_set_spare_bits_are_refused() -> None:
    with pytest.raises(MalformedError):
        Bitfield.from_bytes(7, b"\x80")


def test_a_wrong_length_is_refused() -> None:
    with pytest.raises(MalformedError):
        Bitfield.from_bytes(8, b"\x00\x00")


@pytest.mark.parametrize("chunk", [-1, 8])
def test_an_index_outside_is_an_error_not_another_bit(chunk: int) -> None:
    field = Bitfield(8)
    with pytest.raises(IndexError):
        field.add(chunk)
    with pytest.raises(IndexError):
        field.byte_of(chunk)
    assert chunk not in field


def test_the_byte_of_a_chunk_is_where_to_bytes_has_it() -> None:
    field = Bitfield(20, [17])
    position, value = field.byte_of(17)
    assert field.to_bytes()[position] == value == 0x02
