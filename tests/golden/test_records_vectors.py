"""Bytes of records and of their messages that may never change: other versions' nodes live on them.

`records_vectors.json` was written once by this program. If one of these fails, the protocol was broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dhtshare.content.format import Kind
from dhtshare.content.keywords import content_key, keyword_key
from dhtshare.dht.records.copies import Pull, Survey, Surveyed, Want, digest_of_pairs, pulled_bodies
from dhtshare.dht.records.entry import decode_record, is_signed, sign_entry, sign_withdrawal
from dhtshare.dht.records.finds import FindEntries, FindProviders, entries_bodies, providers_body
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.paging import CURSOR_BYTES, digest_of_raw
from dhtshare.dht.records.provider import ProviderClaim, answer, keep, source_of
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.region import Region
from dhtshare.dht.records.stores import (
    Check,
    CheckedEntry,
    Gone,
    StoreEntries,
    StoreProviders,
    Withdraw,
    verdicts_body,
)
from dhtshare.dht.wire import pack
from dhtshare.identity import SigningKey
from dhtshare.network import Address, network_id

VECTORS: dict[str, str] = json.loads(Path(__file__).with_name("records_vectors.json").read_text(encoding="ascii"))
NETWORK = network_id("dhtshare")
SIGNER = SigningKey.from_seed(bytes(range(32)))
CONTENT = bytes(range(100, 132))
CLAIM = ProviderClaim(4470, b"peerpeer")
PARTIAL = ProviderClaim(4470, b"peerpeer", partial=True)
WORD_KEY = keyword_key(NETWORK, "musica")
CONTENT_KEY = content_key(NETWORK, CONTENT)


def an_entry(kind: Kind = Kind.FILE) -> bytes:
    return sign_entry(
        SIGNER,
        NETWORK,
        content_hash=CONTENT,
        sequence=1_800_000_000_000,
        expires=1_800_086_400,
        kind=kind,
        size=123_456_789,
        name="Música Popular – 01.mp3",
        words=("musica", "popular", "01"),
    )


def a_withdrawal() -> bytes:
    return sign_withdrawal(SIGNER, NETWORK, content_hash=CONTENT, sequence=1_800_000_000_001, expires=1_800_086_400)


EVERY_FILTER = Query(("popular", "musica"), Kind.FILE, "mp3", 1, 1 << 40)
MADE: dict[str, Callable[[], Any]] = {
    "entry": an_entry,
    "entry of a collection": lambda: an_entry(Kind.COLLECTION),
    "withdrawal": a_withdrawal,
    "provider kept, IPv4": lambda: keep(source_of(Address("81.2.3.4", 4470)), CLAIM, 7200.0),
    "provider kept, IPv6": lambda: keep(source_of(Address("2a00::7", 4470)), PARTIAL, 7200.0),
    "provider answered, IPv4": lambda: answer("81.2.3.4", CLAIM),
    "provider answered, IPv6": lambda: answer("2a00::7", PARTIAL),
    "digest of a set": lambda: digest_of_raw([an_entry()]),
    "digest of a region": lambda: digest_of_pairs([(WORD_KEY, b"digest00")]),
    "find providers": FindProviders(CONTENT_KEY, 2).body,
    "find providers, answer": lambda: providers_body([answer("81.2.3.4", CLAIM), answer("2a00::7", PARTIAL)]),
    "find entries": FindEntries(WORD_KEY, Query(("musica",))).body,
    "find entries, next page": FindEntries(WORD_KEY, EVERY_FILTER, b"c" * CURSOR_BYTES, 16).body,
    "find entries, answer": lambda: entries_bodies(b"d" * 16, 1, b"c" * CURSOR_BYTES, [[an_entry()]])[0],
    "store providers": StoreProviders((CONTENT_KEY,), PARTIAL).body,
    "store entries": lambda: StoreEntries(((an_entry(), b"\0\2"),)).body(),
    "verdicts": lambda: verdicts_body(list(Verdict)),
    "withdraw": lambda: Withdraw(((a_withdrawal(), (WORD_KEY,)),)).body(),
    "gone": Gone().body,
    "gone from one": Gone((CONTENT_KEY,)).body,
    "check": Check(SIGNER.public, (CheckedEntry(WORD_KEY, CONTENT, b"\0\1"),), (CONTENT_KEY,)).body,
    "survey": Survey(Region(WORD_KEY, 7), b"digest00").body,
    "survey, answer": lambda: Surveyed(((WORD_KEY, b"digest00"),)).bodies()[0],
    "survey, same": lambda: Surveyed(same=True).bodies()[0],
    "survey, many": lambda: Surveyed(many=True).bodies()[0],
    "pull": Pull((Want(WORD_KEY, b"mark0000"),)).body,
    "pull, answer": lambda: pulled_bodies([[(0, an_entry(), b"net")]], True)[0],
    "methods": lambda: {method.name: int(method) for method in RecordMethod},
}


def test_every_vector_has_its_maker() -> None:
    assert set(VECTORS) == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_the_bytes_are_what_they_always_were(name: str) -> None:
    made = MADE[name]()
    assert (made if isinstance(made, bytes) else pack(made)).hex() == VECTORS[name]


@pytest.mark.parametrize("name", ["entry", "entry of a collection", "withdrawal"])
def test_records_of_old_are_still_understood(name: str) -> None:
    record = decode_record(bytes.fromhex(VECTORS[name]))
    assert is_signed(record, NETWORK)
    assert record.content_hash == CONTENT
