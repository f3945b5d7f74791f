"""The bitfield keeps its count, its bit order and its spare bits right."""

from __future__ import annotations

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.errors import MalformedError


def test_the_first_chunk_is_the_most_significant_bit() -> None:
    field = Bitfield(9)
    field.set(0)
    field.set(8)
    assert field.to_bytes() == b"\x80\x80"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 65_536])
def test_a_full_field_has_all_and_misses_none(size: int) -> None:
    field = Bitfield.full(size)
    assert field.all()
    assert field.count == size
    assert list(field.iter_missing()) == []
    assert Bitfield.from_bytes(field.to_bytes(), size) == field


def test_setting_twice_counts_once() -> None:
    field = Bitfield(3)
    assert field.set(1)
    assert not field.set(1)
    assert field.count == 1
    assert field.clear(1)
    assert not field.clear(1)
    assert field.none()


def test_set_spare_bits_are_refused() -> None:
    with pytest.raises(MalformedError):
        Bitfield.from_bytes(b"\x01", 7)


def test_a_wrong_length_is_refused() -> None:
    with pytest.raises(MalformedError):
        Bitfield.from_bytes(b"\x00\x00", 8)


@pytest.mark.parametrize("index", [-1, 8])
def test_an_index_outside_is_an_error_not_another_bit(index: int) -> None:
    field = Bitfield(8)
    with pytest.raises(IndexError):
        field.has(index)
    with pytest.raises(IndexError):
        field.set(index)


def test_the_byte_of_a_bit_is_where_to_bytes_has_it() -> None:
    field = Bitfield(20)
    field.set(17)
    position, value = field.byte(17)
    assert field.to_bytes()[position] == value == 0x40


def test_a_copy_is_a_field_of_its_own() -> None:
    field = Bitfield(4)
    twin = field.copy()
    twin.set(2)
    assert field.none()
    assert twin != field
