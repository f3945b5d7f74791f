"""Where a word or a content hash lives in the key space of the DHT.

Frozen: two versions of dhtshare that disagree here do not find each other's records.
"""

from __future__ import annotations

from blake3 import blake3

KEY_BYTES = 20
"""160 bits, as in kademlia."""


def keyword_key(network: bytes, word: str) -> bytes:
    """The 20-byte key of a word that `tokenize` gave, in the network with this 4-byte id."""
    return _key(b"keyword", network, word.encode())


def content_key(network: bytes, content_hash: bytes) -> bytes:
    """The 20-byte key of the provider records of a content, in the network with this 4-byte id."""
    return _key(b"content", network, content_hash)


def _key(purpose: bytes, network: bytes, payload: bytes) -> bytes:
    return blake3(b"dhtshare/1\0" + purpose + b"\0" + network + payload).digest(length=KEY_BYTES)
