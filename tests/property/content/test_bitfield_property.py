"""A bitfield behaves as the set of its indexes, through bytes and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.content.bitfield import Bitfield


@given(st.integers(0, 200).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, max(size - 1, 0))))))
def test_a_field_is_the_set_of_its_indexes(case: tuple[int, set[int]]) -> None:
    size, wanted = case
    wanted = {index for index in wanted if index < size}
    field = Bitfield(size)
    for index in wanted:
        field.set(index)
    again = Bitfield.from_bytes(field.to_bytes(), size)
    assert again == field
    assert set(again.iter_set()) == wanted
    assert set(again.iter_missing()) == set(range(size)) - wanted
    assert again.count == len(wanted)
    assert list(again.iter_set()) == sorted(wanted)
