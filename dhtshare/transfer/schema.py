"""What a field of a message may hold, so that each limit is stated once, beside the message.

Pure: a check takes a decoded MessagePack value and returns it as the message's type, or raises
RemoteProtocolError. Never changes a value silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dhtshare.errors import RemoteProtocolError

Check = Callable[[object], object]

REQUIRED = object()
"""Default of a field that must be there."""


class Field(NamedTuple):
    """One key of a header map, in the order of the parameters. A field that equals its default is left out."""

    key: int
    name: str
    check: Check
    default: object = REQUIRED


def integer(most: int, *, least: int = 0) -> Check:
    """A whole number between `least` and `most`, both included; a boolean is none."""

    def check(value: object) -> object:
        if type(value) is not int or not least <= value <= most:
            raise RemoteProtocolError(f"{value!r:.40} is not a number between {least} and {most}.")
        return value

    return check


def flag() -> Check:
    """True or false."""

    def check(value: object) -> object:
        if type(value) is not bool:
            raise RemoteProtocolError(f"{value!r:.40} is neither true nor false.")
        return value

    return check


def raw(length: int) -> Check:
    """Exactly `length` bytes."""

    def check(value: object) -> object:
        if type(value) is not bytes or len(value) != length:
            raise RemoteProtocolError(f"{value!r:.40} is not {length} bytes.")
        return value

    return check


def text(most: int) -> Check:
    """A string of at most `most` bytes of UTF-8."""

    def check(value: object) -> object:
        if type(value) is not str or len(value.encode(errors="surrogatepass")) > most:
            raise RemoteProtocolError(f"{value!r:.40} is not a text of at most {most} bytes.")
        return value

    return check


def numbers(most: int, count: int) -> Check:
    """A list of at most `count` whole numbers between 0 and `most`."""

    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or len(value) > count:
            raise RemoteProtocolError(f"{value!r:.40} is not a list of at most {count} numbers.")
        for number in value:
            if type(number) is not int or not 0 <= number <= most:
                raise RemoteProtocolError(f"{number!r:.40} is not a number between 0 and {most}.")
        return tuple(value)

    return check
