"""Vectors that freeze the protocol: what is shared today must be found under the same hash and words for ever.

A failure here means that this version no longer finds what earlier ones published. Never regenerate the
vectors: add to them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from dhtshare.content.descriptor import (
    CollectionDescriptor,
    CollectionEntry,
    FileDescriptor,
    content_hash,
    decode,
    single_chunk_content_hash,
)
from dhtshare.content.hasher import hash_file
from dhtshare.content.keywords import collection_words, content_key, keyword_key, tokenize, words_for
from dhtshare.content.link import Link, PeerHint, parse_link
from dhtshare.content.paths import dot_name, safe_name
from dhtshare.network import network_id

VECTORS = Path(__file__).parent


def cases(name: str, part: str) -> list[Any]:
    document = json.loads((VECTORS / f"content_{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case, id=f"{part}-{number}") for number, case in enumerate(document[part])]


def generated(size: int) -> bytes:
    """`size` bytes of BLAKE3's extendable output over b'dhtshare vector'."""
    return blake3(b"dhtshare vector").digest(length=size)


@pytest.mark.parametrize("case", cases("hashes", "files"))
def test_the_content_hash_of_a_file(case: dict[str, Any], tmp_path: Path) -> None:
    data = generated(case["size"])
    (tmp_path / "file").write_bytes(data)
    descriptor = hash_file(tmp_path / "file")
    assert descriptor.content_hash.hex() == case["hash"]
    assert descriptor.chunk_count == case["chunks"]
    if case["chunks"] == 1:
        assert single_chunk_content_hash(len(data), blake3(data).digest()).hex() == case["hash"]


@pytest.mark.parametrize("case", cases("hashes", "sizes"))
def test_the_cutting_of_large_files(case: dict[str, Any]) -> None:
    """Files too large to make: chunk i hashes to the BLAKE3 of i as 4 bytes, big-endian."""
    hashes = b"".join(blake3(index.to_bytes(4)).digest() for index in range(case["chunks"]))
    assert FileDescriptor(case["size"], hashes).content_hash.hex() == case["hash"]


@pytest.mark.parametrize("case", cases("descriptors", "files"))
def test_the_bytes_of_a_file_descriptor(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["raw"])
    descriptor = FileDescriptor(case["size"], bytes.fromhex(case["chunk_hashes"]))
    assert decode(raw) == descriptor
    assert decode(raw).encode() == raw
    assert content_hash(raw).hex() == case["hash"]
    if not case.get("odd_keys"):
        assert descriptor.encode() == raw


@pytest.mark.parametrize("case", cases("descriptors", "collections"))
def test_the_bytes_of_a_collection_descriptor(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["raw"])
    entries = [
        CollectionEntry(path, size, bytes.fromhex(digits), executable)
        for path, size, digits, executable in case["entries"]
    ]
    descriptor = CollectionDescriptor.of(entries)
    assert decode(raw) == descriptor
    assert decode(raw).encode() == raw
    assert content_hash(raw).hex() == case["hash"]
    if not case.get("odd_keys"):
        assert descriptor.encode() == raw


@pytest.mark.parametrize("case", cases("keywords", "words"))
def test_the_words_of_a_text(case: dict[str, Any]) -> None:
    assert tokenize(case["text"]) == case["words"]


@pytest.mark.parametrize("case", cases("keywords", "names"))
def test_the_words_of_a_name(case: dict[str, Any]) -> None:
    if "paths" in case:
        words = collection_words(case["keywords"], case["name"], case["paths"])
    else:
        words = words_for(case["keywords"], case["name"], case["title"], case["folders"])
    assert list(words) == case["words"]


@pytest.mark.parametrize("case", cases("keywords", "keys"))
def test_the_key_of_a_word(case: dict[str, Any]) -> None:
    network = network_id(case["network"])
    assert network.hex() == case["network_id"]
    assert keyword_key(network, case["word"]).hex() == case["key"]


@pytest.mark.parametrize("case", cases("keywords", "content_keys"))
def test_the_key_of_a_content(case: dict[str, Any]) -> None:
    assert content_key(network_id(case["network"]), bytes.fromhex(case["hash"])).hex() == case["key"]


@pytest.mark.parametrize("case", cases("names", "safe"))
def test_the_safe_form_of_a_name(case: list[str]) -> None:
    name, safe, unfinished = case
    assert safe_name(name) == safe
    assert dot_name(safe) == unfinished


@pytest.mark.parametrize("case", cases("names", "links"))
def test_links(case: dict[str, Any]) -> None:
    link = Link(
        bytes.fromhex(case["hash"]),
        case["name"],
        case["size"],
        case["network"],
        tuple(PeerHint(host, port, bytes.fromhex(peer) if peer else None) for host, port, peer in case["peers"]),
    )
    assert parse_link(case["link"]) == link
    assert link.format() == case["link"]
