"""Entries and withdrawals: limits, growth, forgeries."""

from __future__ import annotations

import msgpack
import pytest

from dhtshare.content.format import Kind
from dhtshare.dht.records.entry import (
    ENTRY_PURPOSE,
    Entry,
    Withdrawal,
    decode_record,
    is_signed,
    reread,
    sign_entry,
    sign_withdrawal,
)
from dhtshare.dht.records.signed import (
    MAX_RECORD_BYTES,
    content_of,
    expires_of,
    place,
    place_of,
    publisher_of,
    sequence_of,
)
from dhtshare.errors import MalformedError
from tests.unit.records.records_fakes import NETWORK, content, entry, signer, withdrawal


def forged(**changes: object) -> bytes:
    """An entry signed over fields that `sign_entry` would not make."""
    fields = msgpack.unpackb(entry().raw[64:], strict_map_key=False)
    fields.update({int(key[1:]): value for key, value in changes.items()})
    payload = msgpack.packb({key: fields[key] for key in sorted(fields) if fields[key] is not ...})
    return signer().sign(ENTRY_PURPOSE, NETWORK, payload) + payload


def test_what_goes_in_comes_out() -> None:
    made = entry(7, words=("musica", "popular"), name="Música.mp3", size=5, kind=Kind.COLLECTION)
    assert (made.content_hash, made.publisher) == (content(7), signer().public)
    assert (made.name, made.size, made.kind, made.words) == ("Música.mp3", 5, "collection", ("musica", "popular"))
    assert is_signed(made, NETWORK)
    assert reread(made.raw) == made
    assert reread(withdrawal().raw) == withdrawal()


def test_the_fixed_fields_stand_at_fixed_offsets() -> None:
    for made in (entry(3), withdrawal(3)):
        assert content_of(made.raw) == made.content_hash
        assert publisher_of(made.raw) == made.publisher
        assert sequence_of(made.raw) == made.sequence
        assert expires_of(made.raw) == made.expires
        assert place_of(made.raw) == place(made.content_hash, made.publisher)


def test_a_signature_is_for_one_network_one_kind_and_these_bytes() -> None:
    made = entry()
    assert not is_signed(made, b"othr")
    changed = decode_record(made.raw[:-1] + b"b")
    assert not is_signed(changed, NETWORK)
    taken_back = withdrawal()
    as_entry = signer().sign(ENTRY_PURPOSE, NETWORK, taken_back.raw[64:]) + taken_back.raw[64:]
    assert not is_signed(decode_record(as_entry), NETWORK)


def test_words_that_do_not_fit_are_left_out_from_the_end() -> None:
    words = tuple(f"{number:02}" + "w" * 58 for number in range(32))
    made = entry(words=words, name="n" * 255)
    assert len(made.raw) <= MAX_RECORD_BYTES
    assert made.words == words[: len(made.words)]
    assert len(made.words) >= 7  # 1,000 − head 153 − name 260 − … leaves room for that many of 60 bytes


@pytest.mark.parametrize(
    "changes",
    [
        {"k18": 1},  # an even key of a newer version
        {"k10": 2},  # reserved for nested collections
        {"k10": -1},
        {"k12": -1},
        {"k12": 1 << 63},
        {"k14": ""},
        {"k14": "n" * 256},
        {"k14": b"bytes"},
        {"k16": []},
        {"k16": ["a" * 65]},
        {"k16": [""]},
        {"k16": ["twice", "twice"]},
        {"k16": [1]},
        {"k16": [f"w{number}" for number in range(33)]},
        {"k16": ...},
        {"k12": ...},
        {"k4": b"short"},
        {"k6": 7},  # not a 64-bit number
        {"k8": 7},
        {"k0": 2},
        {"k2": ...},
    ],
)
def test_malformed_fields_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        decode_record(forged(**changes))


def test_an_unknown_odd_key_is_ignored_and_travels_on() -> None:
    raw = forged(k17="later")
    made = decode_record(raw)
    assert isinstance(made, Entry)
    assert made.raw == raw
    assert is_signed(made, NETWORK)


def test_bytes_that_are_not_canonical_are_refused() -> None:
    made = entry()
    longer = made.raw[:64] + b"\xde\x00\x09" + made.raw[65:]  # the same map with a longer header
    for raw in (b"", made.raw[:-1], made.raw + b"\0", longer, made.raw[:64] + b"\xc1" * 200):
        with pytest.raises(MalformedError):
            decode_record(raw)


def test_signing_refuses_what_no_holder_would_take() -> None:
    for changes in ({"name": ""}, {"words": ()}, {"sequence": 1}, {"expires": 1}, {"content_hash": b"short"}):
        arguments: dict[str, object] = {
            "content_hash": content(1),
            "sequence": 1 << 40,
            "expires": 1 << 30,
            "kind": Kind.FILE,
            "size": 1,
            "name": "name",
            "words": ("word",),
        }
        with pytest.raises(MalformedError):
            sign_entry(signer(), NETWORK, **(arguments | changes))  # type: ignore[arg-type]
    with pytest.raises(MalformedError):
        sign_withdrawal(signer(), NETWORK, content_hash=content(1), sequence=1 << 40, expires=1 << 33)


def test_a_withdrawal_is_no_entry() -> None:
    assert isinstance(decode_record(withdrawal().raw), Withdrawal)
