"""What a scope has sent, received and refused, for `status` and for tests."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """Plain counts since start; bytes are UDP payload."""

    datagrams_in: int = 0
    datagrams_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    malformed: int = 0
    unsupported: int = 0
    rate_limited: int = 0
    ignored: int = 0
    unproved: int = 0
    oversized: int = 0
    unknown_reply: int = 0
    wrong_source: int = 0
    wrong_id: int = 0
    requests: int = 0
    calls: int = 0
    retransmissions: int = 0
    timeouts: int = 0
    refusals: int = 0

    def as_dict(self) -> dict[str, int]:
        """Names and counts, for JSON."""
        return asdict(self)
