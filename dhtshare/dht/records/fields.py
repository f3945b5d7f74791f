"""Reads the fields of a body from the network, each with its type and limits. Pure; raises MalformedError only."""

from __future__ import annotations

from typing import cast

from dhtshare.dht.messages import Body
from dhtshare.dht.wire import check_keys
from dhtshare.errors import MalformedError


class Fields:
    """One body. An unknown even key refuses it, an unknown odd key is ignored."""

    def __init__(self, body: Body, known_even: frozenset[int]) -> None:
        check_keys(body, known_even)
        self._body = body

    def has(self, key: int) -> bool:
        return key in self._body

    def raw(self, key: int, lowest: int, highest: int, default: bytes | None = None) -> bytes:
        """A byte string of so many bytes."""
        value = self._body.get(key, default)
        if type(value) is not bytes or not (lowest <= len(value) <= highest or value is default):
            raise MalformedError(f"Field {key} is no byte string of {lowest} to {highest} bytes.")
        return value

    def number(self, key: int, lowest: int, highest: int, default: int | None = None) -> int:
        """A number within these limits."""
        value = self._body.get(key, default)
        if type(value) is not int or not lowest <= value <= highest:
            raise MalformedError(f"Field {key} is no number from {lowest} to {highest}.")
        return value

    def optional_number(self, key: int, lowest: int, highest: int) -> int | None:
        """The same, or None where the field is absent."""
        return self.number(key, lowest, highest) if key in self._body else None

    def optional_text(self, key: int, max_bytes: int) -> str | None:
        """A text of at most so many bytes of UTF-8, or None where the field is absent."""
        return check_text(self._body[key], max_bytes) if key in self._body else None

    def items(self, key: int, limit: int) -> list[object]:
        """A list of at most so many items of any type; empty where the field is absent."""
        value = self._body.get(key, [])
        if type(value) is not list or len(value) > limit:
            raise MalformedError(f"Field {key} is no list of at most {limit} items.")
        return cast("list[object]", value)

    def packed(self, key: int, width: int, limit: int) -> list[bytes]:
        """Byte strings of one width, joined into one field; at most `limit`."""
        value = self.raw(key, 0, width * limit, b"")
        if len(value) % width:
            raise MalformedError(f"Field {key} has a torn end.")
        return [value[start : start + width] for start in range(0, len(value), width)]


def check_bytes(value: object, lowest: int, highest: int) -> bytes:
    """A byte string of so many bytes."""
    if type(value) is not bytes or not lowest <= len(value) <= highest:
        raise MalformedError(f"A value is no byte string of {lowest} to {highest} bytes.")
    return value


def check_text(value: object, max_bytes: int) -> str:
    """A text of 1 to `max_bytes` bytes of UTF-8."""
    if type(value) is not str or not 0 < len(value.encode(errors="surrogatepass")) <= max_bytes:
        raise MalformedError(f"A value is no text of 1 to {max_bytes} bytes.")
    return value


def check_tuple(value: object, length: int) -> list[object]:
    """A list of exactly so many items."""
    if type(value) is not list or len(value) != length:
        raise MalformedError(f"A value is no list of {length} items.")
    return cast("list[object]", value)
