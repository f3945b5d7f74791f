"""The limits that other tests import from the code they test, as numbers of their own: the promises of the design.

Each test of a limit counts up to the constant, so it holds whatever the constant says. Here is what it must say.
"""

from __future__ import annotations

from importlib import import_module

import pytest

PROMISED = [
    # Nobody is a weapon: reflection, and false providers.
    ("dht.wire:AMPLIFICATION", 3),
    ("dht.wire:UNPROVED_REQUEST_BYTES", 400),
    ("dht.wire:MAX_PARTS", 16),  # datagrams that a proved request draws
    ("transfer.dials:ATTEMPTS_PER_ADDRESS", 2),
    ("transfer.dials:ATTEMPTS_PER_IP", 4),
    ("transfer.dials:IPS_PER_NETWORK", 4),
    ("transfer.dials:DIALS_IN_FLIGHT", 8),
    ("transfer.asking:MAX_DIALS", 8),
    ("finding:ASKED_PER_NETWORK", 4),
    ("network:LOWEST_GLOBAL_PORT", 1024),
    # Who comes to us.
    ("transfer.guests:MAX_GUESTS", 200),
    ("transfer.guests:MAX_PER_IP", 8),
    ("transfer.dialler:CONNECT_SECONDS", 5),
    ("transfer.dialler:HANDSHAKE_SECONDS", 10),
    ("transfer.dialler:BAN_SECONDS", 3_600),
    ("transfer.source:DEAD_SECONDS", 10),
    ("transfer.floor:FLOOR_RATE", 4 * 1024),
    ("transfer.floor:FLOOR_SECONDS", 20),
    ("transfer.picker:MAX_DUPLICATES", 3),
    # Memory: a frame of 1 MiB and 4 KiB, a descriptor of 16 MiB, 100,000 files, 32 levels.
    ("transfer.messages:MAX_PAYLOAD_BYTES", 1_048_576),
    ("transfer.messages:MAX_HEADER_BYTES", 4_096),
    ("transfer.messages:MAX_DESCRIPTOR_BYTES", 16_777_216),
    ("transfer.messages:MAX_FILES", 100_000),
    ("content.format:MAX_DESCRIPTOR_BYTES", 16_777_216),
    ("content.collection:MAX_COLLECTION_ENTRIES", 100_000),
    ("content.paths:MAX_PATH_PARTS", 32),
    ("content.canonical:MAX_DEPTH", 32),
    ("library.space:RESERVE_BYTES", 100_000_000),
    # Datagrams, tokens and rates.
    ("dht.wire:MAX_DATAGRAM_BYTES", 1_200),
    ("dht.wire:TOKEN_BYTES", 8),
    ("dht.tokens:ROTATION_SECONDS", 300),
    ("dht.rates:PROVED_PER_SECOND", 50),
    ("dht.rates:PROVED_BURST", 200),
    ("dht.rates:UNPROVED_PER_SECOND", 10),
    ("dht.rates:UNPROVED_BURST", 50),
    # What a node keeps for others, and for how long.
    ("dht.records.limits:MAX_RECORDS", 100_000),
    ("dht.records.limits:MAX_BYTES", 64 * 1024 * 1024),
    ("dht.records.limits:MAX_ENTRIES_PER_KEY", 5_000),
    ("dht.records.limits:MAX_OF_PUBLISHER_PER_KEY", 1_000),
    ("dht.records.limits:MAX_PROVIDERS_PER_KEY", 1_000),
    ("dht.records.limits:PROVIDER_TTL", 3 * 3_600),
    ("dht.records.limits:PROVIDER_PERIOD", 3_600),
    ("dht.records.limits:PROVIDER_TARGET", 20),
    ("dht.records.limits:ENTRY_TTL", 24 * 3_600),
    ("dht.records.limits:ENTRY_PERIOD", 11 * 3_600),
    ("dht.records.limits:ENTRY_TARGET", 10),
    ("dht.records.limits:MAX_AHEAD", 25 * 3_600),
    ("dht.records.signed:MAX_RECORD_BYTES", 1_000),
    # Lookups and tables.
    ("dht.routing:K", 20),
    ("dht.behind:MAX_CONTACTS_PER_ANSWER", 20),
    ("dht.lookup:MAX_REQUESTS_PER_PATH", 64),
    ("dht.walk:PATHS", 2),
    ("dht.walk:PATIENT_PATHS", 8),
    ("dht.diversity:PER_IP", 1),
    ("dht.diversity:PER_NETWORK", 2),
    ("dht.seats:PER_NETWORK_IN_TABLE", 10),
]


@pytest.mark.parametrize(("name", "promised"), PROMISED, ids=[name for name, _ in PROMISED])
def test_a_limit_is_the_number_that_was_promised(name: str, promised: int) -> None:
    module, _, constant = name.partition(":")
    assert getattr(import_module(f"dhtshare.{module}"), constant) == promised


def test_stores_of_a_proved_address_are_two_thousand_a_minute() -> None:
    from dhtshare.dht.rates import RECORDS_BURST, RECORDS_PER_SECOND

    assert round(60 * RECORDS_PER_SECOND) == 2_000
    assert RECORDS_BURST == 2_000
