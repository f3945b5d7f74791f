"""Entries, keys and stores for the tests of records; nothing here touches a network."""

from __future__ import annotations

import random

from dhtshare.content.format import Kind
from dhtshare.content.keywords import keyword_key
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.entry import Entry, Withdrawal, decode_record, sign_entry, sign_withdrawal
from dhtshare.dht.records.limits import StoreLimits
from dhtshare.dht.records.store import RecordStore
from dhtshare.identity import SigningKey
from dhtshare.network import Scope, network_id

NETWORK = network_id("records test")
WALL = 1_800_000_000.0
HOUR = 3600.0


def signer(number: int = 1) -> SigningKey:
    return SigningKey.from_seed(number.to_bytes(32, "big"))


def content(number: int) -> bytes:
    return number.to_bytes(32, "big")


def entry(
    number: int = 1,
    *,
    words: tuple[str, ...] = ("musica",),
    by: int = 1,
    sequence: int = 0,
    ttl: float = 24 * HOUR,
    name: str | None = None,
    size: int = 1000,
    kind: Kind = Kind.FILE,
) -> Entry:
    raw = sign_entry(
        signer(by),
        NETWORK,
        content_hash=content(number),
        sequence=(1 << 40) + sequence,
        expires=int(WALL + ttl),
        kind=kind,
        size=size,
        name=name or f"file {number}.mp3",
        words=words,
    )
    record = decode_record(raw)
    assert isinstance(record, Entry)
    return record


def withdrawal(number: int = 1, *, by: int = 1, sequence: int = 1, ttl: float = 24 * HOUR) -> Withdrawal:
    raw = sign_withdrawal(
        signer(by),
        NETWORK,
        content_hash=content(number),
        sequence=(1 << 40) + sequence,
        expires=int(WALL + ttl),
    )
    record = decode_record(raw)
    assert isinstance(record, Withdrawal)
    return record


def key(word: str) -> bytes:
    return keyword_key(NETWORK, word)


def store(scope: Scope = Scope.LAN, limits: StoreLimits | None = None) -> RecordStore:
    return RecordStore(NETWORK, scope, random.Random(1), Budget(limits))


def raws(kept: RecordStore, word: str) -> list[bytes]:
    return [held.raw for held in kept.set_of(key(word))]
