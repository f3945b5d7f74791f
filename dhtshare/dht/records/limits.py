"""How much a node keeps for others, for how long, and what it says when it does not. Numbers are protocol."""

from __future__ import annotations

import enum
from dataclasses import dataclass

PROVIDER_TTL = 3 * 3600.0  # seconds
PROVIDER_PERIOD = 3600.0  # between renewals
PROVIDER_TARGET = 20  # closest nodes that keep a provider record
ENTRY_TTL = 24 * 3600.0
ENTRY_PERIOD = 11 * 3600.0
ENTRY_TARGET = 10
MAX_AHEAD = 25 * 3600.0  # an expiry further ahead is refused

MAX_RECORDS = 100_000
MAX_BYTES = 64 << 20
MAX_ENTRIES_PER_KEY = 5_000
MAX_OF_PUBLISHER_PER_KEY = 1_000
MAX_PROVIDERS_PER_KEY = 1_000
MAX_PROVIDERS_PER_ADDRESS = 16  # of one key from one IP in a global scope; one machine is few peers

ENTRY_OVERHEAD = 300  # what an entry costs beside its own bytes, so that the cap is one of real memory
KEY_OVERHEAD = 16  # each further key under which an entry is listed
PROVIDER_BYTES = 250  # what a provider record costs in all


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Caps of one node over all its scopes, and of one key."""

    records: int = MAX_RECORDS
    bytes: int = MAX_BYTES
    entries_per_key: int = MAX_ENTRIES_PER_KEY
    of_publisher_per_key: int = MAX_OF_PUBLISHER_PER_KEY
    providers_per_key: int = MAX_PROVIDERS_PER_KEY


class Verdict(enum.IntEnum):
    """What became of one record that was to be stored. Only STORED is an acknowledgement."""

    STORED = 0
    FULL = 1  # the word, or this publisher's or network's share of it, is full
    STALE = 2  # a record of a higher sequence number, or a withdrawal, stands there
    EXPIRED = 3  # past, or more than 25 h ahead, by the holder's clock, which goes with the answer
    FORGED = 4  # malformed, or not signed by its publisher
    UNKNOWN = 5  # a withdrawal of what is not held here
