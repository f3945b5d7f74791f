"""The methods that this room adds to the DHT's own. Numbers are protocol; bodies stand in the modules named."""

from __future__ import annotations

import enum

from dhtshare.dht.messages import FIRST_RECORD_METHOD


class RecordMethod(enum.IntEnum):
    """Both finds answer with contacts, so that a lookup asks for what it wants on its way; all others need proof."""

    FIND_PROVIDERS = FIRST_RECORD_METHOD  # finds.py
    FIND_ENTRIES = 18
    STORE_PROVIDERS = 20  # stores.py
    STORE_ENTRIES = 22
    WITHDRAW = 24
    GONE = 26
    CHECK = 28
    SURVEY = 30  # copies.py
    PULL = 32
