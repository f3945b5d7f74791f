"""Fuzz targets of what a node wrote itself and reads again: a power cut, a bad disk or another program bent it.

Invariant of all: the outcome is what was written, nothing, or the error that the caller turns into a sentence.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path

import msgpack
from blake3 import blake3

from dhtshare.content.bitfield import Bitfield
from dhtshare.dht.contact import Contact
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.saved import encode_records, restore_records
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.saved import MAX_SAVED_CONTACTS, SavedScope, decode_state, encode_state
from dhtshare.errors import DiskError, MalformedError
from dhtshare.identity import Identity
from dhtshare.library.boot import BOOT_TAG_BYTES
from dhtshare.library.claims import Claims
from dhtshare.library.journal import Journal
from dhtshare.network import Address, Scope
from tests.fuzz.target import Target
from tests.unit.records.records_fakes import NETWORK, WALL, entry, key, withdrawal
from tests.unit.records.records_fakes import store as empty_store

CONTENT = bytes(range(32))
BOOT = b"b" * BOOT_TAG_BYTES
CHUNKS = 13
NOW = 1000.0


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def contacts(data: bytes) -> None:
    """The contacts, ids and addresses of an earlier run."""
    with contextlib.suppress(MalformedError):
        scopes = decode_state(data, NETWORK)
        for saved in scopes.values():
            assert len(saved.node_id) == 20
            assert len(saved.contacts) <= MAX_SAVED_CONTACTS
        assert decode_state(encode_state(NETWORK, scopes), NETWORK) == scopes


def records(data: bytes) -> None:
    """The records held for others, in an earlier run: torn, or whole and of another shape."""
    torn, shaped = empty_store(), empty_store()
    with contextlib.suppress(MalformedError):
        restore_records(data, NETWORK, {Scope.LAN: torn}, now=NOW, wall=WALL)
        assert torn.find_entries(key("popular"), Query(("popular",)), b"", [1000], now=NOW).count == 1
    with contextlib.suppress(MalformedError):
        restore_records(blake3(data).digest() + data, NETWORK, {Scope.LAN: shaped}, now=NOW, wall=WALL)
    for store in (torn, shaped):
        store.find_providers(key("content"), 20, now=NOW)
        store.expire(now=NOW + 1e6)


def journal(data: bytes) -> None:
    """The second witness of what is shared, read when the catalogue is torn."""
    path = _folder() / "journal"
    path.write_bytes(data)
    for content_hash, lost in Journal(path).live().items():
        assert len(content_hash) == 32
        assert lost.content_hash == content_hash
        assert all(isinstance(word, str) for word in lost.keywords)


def claims(data: bytes) -> None:
    """The bitmap beside an unfinished file."""
    root = os.open(_folder(), os.O_RDONLY)
    try:
        (_folder() / "claims").write_bytes(data)
        kept = Claims.open(root, "claims")
        try:
            if (read := kept.read(CONTENT, CHUNKS, BOOT)) is not None:
                have, _ = read
                assert have.length == CHUNKS
                assert all(0 <= chunk < CHUNKS for chunk in have)
            kept.claims_other(CONTENT)
        finally:
            kept.close()
    finally:
        os.close(root)


def identity(data: bytes) -> None:
    """The two keys."""
    (_folder() / "identity").write_bytes(data)
    with contextlib.suppress(DiskError):
        loaded = Identity.load_or_create(_folder())
        assert len(loaded.peer_id) == 32
    assert (_folder() / "identity").read_bytes() == data, "never replaced: it may be restored"


def _held() -> RecordStore:
    store = empty_store()
    store.put_entry(entry(words=("musica", "popular")), b"\0\1", b"tag", now=NOW, wall=WALL)
    store.withdraw(withdrawal(), [key("musica")], now=NOW, wall=WALL)
    store.put_entry(entry(2), b"\0", b"\x7f\0\0\1", now=NOW, wall=WALL)
    return store


def _records_seed() -> bytes:
    from dhtshare.dht.records.provider import ProviderClaim

    store = _held()
    store.put_provider(key("content"), Address("127.0.0.1", 4470), ProviderClaim(4470, b"peerpeer"), now=NOW)
    return encode_records(NETWORK, {Scope.LAN: store}, now=NOW, wall=WALL)


def _claims_seed(boot: bytes = BOOT) -> bytes:
    root = os.open(_folder(), os.O_RDONLY)
    (_folder() / "seed").unlink(missing_ok=True)
    kept = Claims.open(root, "seed")
    kept.write(CONTENT, Bitfield(CHUNKS, [0, 5, 12]), boot)
    kept.close()
    os.close(root)
    return (_folder() / "seed").read_bytes()


_CONTACTS = tuple(Contact(random.Random(number).randbytes(20), Address(f"127.0.0.{number}", 4470)) for number in (1, 2))
_SHARED = {"hash": CONTENT.hex(), "path": "/a/b", "name": "b", "keywords": ["a"], "each": False}

TARGETS = (
    Target(
        "contacts",
        contacts,
        (
            encode_state(NETWORK, {Scope.LAN: SavedScope(b"i" * 20, "127.0.0.1", _CONTACTS)}),
            encode_state(
                NETWORK, {Scope.IPV4: SavedScope(b"i" * 20, None, ()), Scope.IPV6: SavedScope(b"j" * 20, "::1", ())}
            ),
            encode_state(b"else", {}),
        ),
    ),
    Target("records", records, (_records_seed(), _records_seed()[32:])),
    Target(
        "journal",
        journal,
        (
            (json.dumps(_SHARED) + "\n" + json.dumps({"withdrawn": CONTENT.hex()}) + "\n").encode(),
            (json.dumps(_SHARED | {"name": "\udcff", "each": True}) + '\n{"hash": "5a').encode(),
        ),
    ),
    Target("claims", claims, (_claims_seed(), _claims_seed(b"c" * BOOT_TAG_BYTES))),
    Target("identity", identity, (msgpack.packb({0: 1, 1: b"s" * 32, 2: b"t" * 32}), msgpack.packb([]))),
)
