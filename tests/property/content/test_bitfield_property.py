"""A bitfield behaves as the set of its chunks, through bytes and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.content.bitfield import Bitfield


@given(st.integers(0, 200).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, max(n - 1, 0))))))
def test_a_field_is_the_set_of_its_chunks(case: tuple[int, set[int]]) -> None:
    length, wanted = case
    wanted = {chunk for chunk in wanted if chunk < length}
    again = Bitfield.from_bytes(length, Bitfield(length, wanted).to_bytes())
    assert again == Bitfield(length, sorted(wanted, reverse=True))
    assert list(again) == sorted(wanted)
    assert list(again.iter_missing()) == sorted(set(range(length)) - wanted)
    assert len(again) == len(wanted)
