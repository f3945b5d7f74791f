"""Records and bodies of random bytes: read back as they were, or refused as malformed, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.content.format import Kind
from dhtshare.dht.records.copies import Pull, Pulled, Survey, Surveyed
from dhtshare.dht.records.entry import Entry, decode_record, reread, sign_entry
from dhtshare.dht.records.finds import FindEntries, FindProviders, FoundEntries, read_providers
from dhtshare.dht.records.signed import MAX_RECORD_BYTES, content_of, expires_of, publisher_of, sequence_of
from dhtshare.dht.records.stores import Check, Gone, StoreEntries, StoreProviders, Withdraw
from dhtshare.errors import MalformedError
from dhtshare.network import Scope
from tests.unit.records.records_fakes import NETWORK, entry, signer, withdrawal

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.binary(max_size=80) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 20), inner, max_size=3),
    max_leaves=8,
)
READERS: list[Any] = [
    FindProviders.read,
    FindEntries.read,
    StoreProviders.read,
    StoreEntries.read,
    Withdraw.read,
    Gone.read,
    Check.read,
    Survey.read,
    Pull.read,
    lambda body: FoundEntries.read([body, body]),
    lambda body: Surveyed.read([body, body]),
    lambda body: Pulled.read([body, body]),
    lambda body: read_providers(body, Scope.LAN),
]


@given(
    content_hash=st.binary(min_size=32, max_size=32),
    sequence=st.integers(1 << 32, (1 << 63) - 1),
    expires=st.integers(1 << 16, (1 << 32) - 1),
    kind=st.sampled_from(Kind),
    size=st.integers(0, (1 << 63) - 1),
    name=texts,
    words=st.lists(texts.filter(lambda word: len(word.encode()) <= 64), min_size=1, max_size=32, unique=True),
)
def test_an_entry_reads_as_it_was_signed(**fields: Any) -> None:
    raw = sign_entry(signer(), NETWORK, **fields)
    record = decode_record(raw)
    assert isinstance(record, Entry)
    assert len(raw) <= MAX_RECORD_BYTES
    words = fields.pop("words")
    assert record.words == tuple(words[: len(record.words)])
    assert {name: getattr(record, name) for name in fields} == fields
    assert reread(raw) == record
    assert (content_of(raw), publisher_of(raw)) == (record.content_hash, record.publisher)
    assert (sequence_of(raw), expires_of(raw)) == (record.sequence, record.expires)


@given(st.sampled_from([entry().raw, withdrawal().raw]), st.data())
def test_a_changed_record_is_another_one_or_malformed(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(64, len(raw) - 1))
    changed = raw[:at] + data.draw(st.binary(max_size=4)) + raw[at + data.draw(st.integers(0, 4)) :]
    with suppress(MalformedError):
        record = decode_record(changed)
        assert record.raw == changed
        assert reread(changed) == record


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_malformed(raw: bytes) -> None:
    with suppress(MalformedError):
        assert decode_record(raw).raw == raw


@given(st.sampled_from(READERS), st.dictionaries(st.integers(0, 12), values, max_size=6))
def test_any_body_is_read_or_malformed(read: Any, body: dict[int, object]) -> None:
    with suppress(MalformedError):
        read(body)
