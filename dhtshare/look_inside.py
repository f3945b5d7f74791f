"""`dhtshare dht …`: the DHT of this node as it is, one lookup step by step, one other node. Changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.content.keywords import tokenize
from dhtshare.content.link import PeerHint
from dhtshare.dht.report import lookup_report, ping_report, status_report
from dhtshare.errors import NetworkError, UsageError
from dhtshare.network import split_host_port
from dhtshare.providers import hint_addresses
from dhtshare.several import Emit

if TYPE_CHECKING:
    from dhtshare.node import Node

_KEY = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_HASH = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DhtStatusRequest:
    """`dhtshare dht status`."""


@dataclass(frozen=True, slots=True)
class DhtLookupRequest:
    """`dhtshare dht lookup`: a key of 40 hex digits, a content hash of 64, or a word."""

    target: str


@dataclass(frozen=True, slots=True)
class DhtPingRequest:
    """`dhtshare dht ping`: host:port, the host a name or an address."""

    address: str


async def dht_status(node: Node, request: DhtStatusRequest, emit: Emit) -> dict[str, Any]:
    """Tables by bucket, estimated size, traffic and refusals of each scope, and the records held."""
    return {**status_report(node.dht), "records": node.records_held()}


async def dht_lookup(node: Node, request: DhtLookupRequest, emit: Emit) -> dict[str, Any]:
    """One lookup with its whole trace. Raises NetworkError where nobody is known."""
    kind, key = target_key(request.target, node.network)
    return {"kind": kind, **await lookup_report(node.dht, key)}


async def dht_ping(node: Node, request: DhtPingRequest, emit: Emit) -> dict[str, Any]:
    """One node, asked once. Raises NetworkError where it does not answer."""
    host, port = split_host_port(request.address)
    addresses = await hint_addresses(PeerHint(host, port))
    if not addresses:
        raise NetworkError(f"Nobody knows an address of '{host}'. Check the name.")
    return await ping_report(node.dht, addresses[0])


def target_key(text: str, network: bytes) -> tuple[str, bytes]:
    """What `text` names ('key', 'content' or 'keyword') and its 20-byte key. Raises UsageError."""
    text = text.strip()
    if _KEY.fullmatch(text):
        return "key", bytes.fromhex(text)
    if _HASH.fullmatch(text):
        return "content", content_key(network, bytes.fromhex(text))
    words = tokenize(text)
    if len(words) != 1:
        found = " and ".join(f"'{word}'" for word in words[:3]) if words else "none"
        raise UsageError(f"A lookup takes a key, a hash, or one word; the words in '{text}' are: {found}.")
    return "keyword", keyword_key(network, words[0])
