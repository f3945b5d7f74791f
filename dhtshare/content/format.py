"""What every descriptor has in common: version, kind, and the rule of growth.

An unknown even key refuses ("made by a newer version"), an unknown odd key is ignored, and the bytes as
received are what is hashed and passed on. Version 1 is produced for ever for all that it can express.
"""

from __future__ import annotations

import enum
from typing import NoReturn

from dhtshare.content.canonical import Reader
from dhtshare.errors import MalformedError

VERSION = 1
VERSION_KEY, KIND_KEY = 0, 2

HASH_BYTES = 32
"""Of BLAKE3-256."""

MAX_DESCRIPTOR_BYTES = 16 << 20


class Kind(enum.StrEnum):
    """What a descriptor describes: on the wire, in records and in JSON."""

    FILE = "file"
    COLLECTION = "collection"


def refuse_newer() -> NoReturn:
    """Raises the MalformedError for what only a later version can understand."""
    raise MalformedError("This content was published by a newer version of dhtshare. Update dhtshare to fetch it.")


def pass_unknown(reader: Reader, key: int) -> None:
    """Applies the rule of growth to a key that this version does not know. Raises MalformedError."""
    if key % 2 == 0:
        refuse_newer()
    reader.skip()
