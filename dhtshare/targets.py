"""What a TARGET on the command line means: a content hash, a link, or a row of the last search."""

from __future__ import annotations

from dataclasses import dataclass

from dhtshare.content.link import PeerHint, is_link, parse_hash, parse_link
from dhtshare.errors import UsageError
from dhtshare.library.catalogue import Catalogue
from dhtshare.network import split_host_port

MAX_ROW_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted. `name` and `size` are claims, exact, None where nobody made one."""

    text: str
    content_hash: bytes
    name: str | None = None
    size: int | None = None
    hints: tuple[PeerHint, ...] = ()


def resolve_target(text: str, catalogue: Catalogue, network: str) -> Target:
    """The target that `text` names. Raises UsageError or MalformedError, both exit code 2."""
    text = text.strip()
    if is_link(text):
        link = parse_link(text)
        if link.network != network:
            raise UsageError(f"This link belongs to the network '{link.network}'; add --network {link.network}.")
        return Target(text, link.content_hash, link.name, link.size, link.peers)
    if text.isascii() and text.isdigit() and len(text) <= MAX_ROW_DIGITS:
        row = catalogue.search_row(int(text))
        return Target(text, row.content_hash, row.name, row.size)
    return Target(text, parse_hash(text))


def parse_peer(text: str) -> PeerHint:
    """A `--peer`: host:port, or <64 hex>@host:port where the peer has to prove that id. Raises UsageError."""
    digits, at, address = text.rpartition("@")
    host, port = split_host_port(address)
    return PeerHint(host, port, parse_hash(digits) if at else None)
