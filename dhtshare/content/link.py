"""The link: the string that one person hands another.

    dhtshare:<64 hex>?name=…&size=…&net=…&peer=[<64 hex>@]host:port…

Values are percent-encoded, unknown parameters ignored, and 'peer' may stand several times: with its hints a
link alone is enough to start a transfer. What it says besides the hash is a claim: a name is made safe where
it becomes a file, and shown with its invisible characters made visible. Never asks anyone anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote

from dhtshare.content.chunks import MAX_FILE_SIZE
from dhtshare.errors import MalformedError, UsageError
from dhtshare.network import DEFAULT_NETWORK, MAX_NETWORK_NAME_BYTES, split_host_port

SCHEME = "dhtshare:"
HASH_BYTES = 32
MAX_LINK_CHARACTERS = 16_384
MAX_LINK_NAME_BYTES = 255
MAX_LINK_SIZE = MAX_FILE_SIZE * 64
"""No collection is larger: see MAX_COLLECTION_CHUNKS in descriptor.py."""
MAX_LINK_PEERS = 32
"""Further peers of a link are ignored."""
MAX_HOST_CHARACTERS = 253
"""Of a DNS name (RFC 1035 section 3.1, without the final dot)."""

_HEX_HASH = re.compile(r"[0-9a-fA-F]{64}")
_HOST = re.compile(r"[0-9A-Za-z._:-]+")
_SIZE = re.compile(r"[0-9]{1,20}")


class PeerHint(NamedTuple):
    """Who is said to have the content. `host` is an IP literal or a DNS name, without brackets.

    A peer that shows another id than `peer_id` (32 bytes) is refused; None accepts any.
    """

    host: str
    port: int
    peer_id: bytes | None = None

    def __str__(self) -> str:
        address = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return address if self.peer_id is None else f"{self.peer_id.hex()}@{address}"


@dataclass(frozen=True, slots=True)
class Link:
    """A parsed link. `name` (exact, not made safe) and `size` in bytes are None where the link does not tell."""

    content_hash: bytes
    name: str | None = None
    size: int | None = None
    network: str = DEFAULT_NETWORK
    peers: tuple[PeerHint, ...] = ()

    def format(self) -> str:
        """The link as text, ASCII only; `net=` only when it is not the default network."""
        parameters = [
            *([] if self.name is None else [("name", quote(self.name, safe="", errors="replace"))]),
            *([] if self.size is None else [("size", str(self.size))]),
            *([] if self.network == DEFAULT_NETWORK else [("net", quote(self.network, safe=""))]),
            *(("peer", quote(str(peer), safe=":@")) for peer in self.peers),
        ]
        query = "&".join(f"{key}={value}" for key, value in parameters)
        return SCHEME + self.content_hash.hex() + (f"?{query}" if query else "")

    __str__ = format


def is_link(text: str) -> bool:
    """Whether `text` claims to be a link; `parse_link` then says whether it is one."""
    return text.strip()[: len(SCHEME)].lower() == SCHEME


def parse_hash(text: str) -> bytes:
    """The 32 bytes of a content hash written as 64 hex digits of either case. Raises MalformedError."""
    text = text.strip()
    if not _HEX_HASH.fullmatch(text):
        raise MalformedError(
            f"{text[:80]!a} is not a content hash: a hash has 64 hex digits (0-9, a-f), this has "
            f"{len(text)} characters. Copy the whole hash, or use the link or the row number of a search."
        )
    return bytes.fromhex(text)


def parse_link(text: str) -> Link:
    """The link that `text` is. Raises MalformedError, with a sentence for the user, for anything else."""
    text = text.strip()
    if not is_link(text):
        raise MalformedError(f"{text[:80]!a} is not a link: a link starts with '{SCHEME}'.")
    if len(text) > MAX_LINK_CHARACTERS:
        raise MalformedError(f"A link has at most {MAX_LINK_CHARACTERS} characters; this has {len(text)}.")
    digits, _, query = text[len(SCHEME) :].partition("#")[0].partition("?")
    if not _HEX_HASH.fullmatch(digits):
        raise MalformedError(
            f"This link was made by a newer version of dhtshare, or was cut: after '{SCHEME}' come 64 hex digits, "
            f"here {digits[:80]!a}. Update dhtshare, or copy the whole link again."
        )
    name: str | None = None
    size: int | None = None
    network = DEFAULT_NETWORK
    peers: dict[PeerHint, None] = {}
    for parameter in query.split("&"):
        key, _, value = parameter.partition("=")
        if key == "name":
            name = _text(key, value, MAX_LINK_NAME_BYTES) or None
        elif key == "size":
            size = _size(value)
        elif key == "net":
            network = _text(key, value, MAX_NETWORK_NAME_BYTES) or DEFAULT_NETWORK
        elif key == "peer" and len(peers) < MAX_LINK_PEERS:
            peers[_peer(_text(key, value, MAX_LINK_CHARACTERS))] = None
    return Link(bytes.fromhex(digits), name, size, network, tuple(peers))


def _text(key: str, value: str, max_bytes: int) -> str:
    try:
        text = unquote(value, errors="strict")
        length = len(text.encode())
    except UnicodeError as error:
        raise MalformedError(f"The '{key}' of this link is not UTF-8. Copy the whole link again.") from error
    if length > max_bytes:
        raise MalformedError(f"The '{key}' of this link has {length} bytes; the limit is {max_bytes}.")
    return text


def _size(value: str) -> int:
    if not _SIZE.fullmatch(value) or int(value) > MAX_LINK_SIZE:
        raise MalformedError(f"The size {value[:80]!a} of this link is no size in bytes.")
    return int(value)


def _peer(text: str) -> PeerHint:
    digits, at, address = text.rpartition("@")
    try:
        host, port = split_host_port(address)
    except UsageError as error:
        raise MalformedError(f"The peer {text[:160]!a} of this link is no address (host:port).") from error
    if (at and not _HEX_HASH.fullmatch(digits)) or not _HOST.fullmatch(host) or len(host) > MAX_HOST_CHARACTERS:
        raise MalformedError(f"The peer {text[:160]!a} of this link is no address ([<64 hex>@]host:port).")
    return PeerHint(host, port, bytes.fromhex(digits) if at else None)
