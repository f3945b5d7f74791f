"""All records of a node as bytes, for a restart. Pure.

    BLAKE3 of the rest (32) | MessagePack map: 0 version · 2 network · 4 scope → [signed records, provider records]

A signed record is [bytes, network that stored it, keys joined, whether it is a withdrawal]; provider records
are [key, [[record without deadline, Unix seconds of its end], …]]. The hash tells a torn file from a whole
one; the signatures were checked before the records came here and are not again. The form of each is: a store
decodes what it holds when it searches and lets go, and has no answer to a record that cannot be.

Signed records come back even if they are past by our clock, which may be wrong: the store answers with none
of those, and lets them go once holders were heard (see `holding`). Provider records end after so many seconds,
which even a wrong clock tells as long as nobody sets it; one that seems to have more than its 3 h left keeps 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgpack
from blake3 import blake3

from dhtshare.content.keys import KEY_BYTES
from dhtshare.dht.records.copies import MAX_TAG_BYTES
from dhtshare.dht.records.entry import Withdrawal, decode_record
from dhtshare.dht.records.fields import check_bytes
from dhtshare.dht.records.held import Held, HeldWithdrawal, deadline_by
from dhtshare.dht.records.limits import PROVIDER_TTL
from dhtshare.dht.records.provider import DEADLINE_BYTES, HELD_BYTES, deadline_of, with_deadline
from dhtshare.dht.records.signed import HEAD_BYTES, MAX_RECORD_BYTES
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.records.stores import split_keys
from dhtshare.errors import MalformedError
from dhtshare.network import Scope

VERSION = 1
_HASH_BYTES = 32


def encode_records(network: bytes, stores: Mapping[Scope, RecordStore], *, now: float, wall: float) -> bytearray:
    """What `restore_records` reads. `now` is monotonic, `wall` Unix seconds."""
    # Packed one by one: of a node that holds all it may, everything at once would take three times as much memory.
    packer = msgpack.Packer()
    raw = bytearray(_HASH_BYTES)
    raw += packer.pack_map_header(3)
    for field in (0, VERSION, 2, network, 4):
        raw += packer.pack(field)
    raw += packer.pack_map_header(len(stores))
    for scope, store in stores.items():
        raw += packer.pack(scope.value) + packer.pack_array_header(2)
        for records in (_signed(store), _providers(store, wall - now)):
            packed, count = bytearray(), 0
            for record in records:
                packed += packer.pack(record)
                count += 1
            raw += packer.pack_array_header(count)
            raw += packed
    raw[:_HASH_BYTES] = blake3(memoryview(raw)[_HASH_BYTES:]).digest()
    return raw


def restore_records(
    raw: bytes, network: bytes, stores: Mapping[Scope, RecordStore], *, now: float, wall: float
) -> None:
    """Put everything back, into empty stores; `wall` is our own clock, for no holder was heard yet.

    Raises MalformedError for bytes that are damaged, or of another network, version or shape; the stores may then
    hold some of them.
    """
    payload = raw[_HASH_BYTES:]
    if blake3(payload).digest() != raw[:_HASH_BYTES]:
        raise MalformedError("The saved records are damaged.")
    try:
        fields: dict[int, Any] = msgpack.unpackb(payload, strict_map_key=False)
        if fields.get(0) != VERSION or fields.get(2) != network:
            raise MalformedError("The saved records are of another version or network.")
        for scope, store in stores.items():
            signed, providers = fields[4].get(scope.value, ((), ()))
            store.entries.restore(_held(signed, now, wall))
            for key, kept in providers:
                check_bytes(key, KEY_BYTES, KEY_BYTES)
                for record, ends in kept:
                    check_bytes(record, HELD_BYTES - DEADLINE_BYTES, HELD_BYTES - DEADLINE_BYTES)
                    left = min(ends - wall, PROVIDER_TTL)
                    store.providers.restore(key, with_deadline(record, now + left), now)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, msgpack.UnpackException) as error:
        raise MalformedError("The saved records have another shape.") from error


def _held(signed: Iterable[list[Any]], now: float, wall: float) -> Iterator[tuple[Held, tuple[bytes, ...]]]:
    for raw, tag, keys, withdrawn in signed:
        check_bytes(raw, HEAD_BYTES, MAX_RECORD_BYTES)
        check_bytes(tag, 0, MAX_TAG_BYTES)
        if isinstance(decode_record(raw), Withdrawal) is not withdrawn:
            raise MalformedError("A saved record is of another kind than it says.")
        yield (HeldWithdrawal if withdrawn else Held)(raw, tag, deadline_by(raw, now, wall)), split_keys(keys)


def _signed(store: RecordStore) -> Iterator[list[object]]:
    for held, keys in store.entries.records():
        yield [held.raw, held.tag, b"".join(keys), isinstance(held, HeldWithdrawal)]


def _providers(store: RecordStore, wall_at_zero: float) -> Iterator[list[object]]:
    for key, records in store.providers.records():
        yield [key, [[record[:-DEADLINE_BYTES], deadline_of(record) + wall_at_zero] for record in records]]
