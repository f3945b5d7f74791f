"""Frames to bytes and back. Pure: bytes in, events out; cannot open a socket.

Two rules. A payload is received straight into the buffer that `place` names for it, never copied on the way
(but for the few bytes that arrived together with its header). And wherever the stream is split, the events
are the same.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import msgpack

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.messages import (
    KINDS,
    MAX_HEADER_BYTES,
    MAX_PAYLOAD,
    MAX_PAYLOAD_BYTES,
    MAX_REQUEST,
    PREFIX_BYTES,
    VERSION,
    Data,
    Message,
)
from dhtshare.transfer.schema import REQUIRED

STAGING_BYTES = 16 << 10
_PREFIX = struct.Struct(">II")
_KEY_VERSION, _KEY_TYPE, _KEY_REQUEST = 0, 2, 4
_FIELDS = {kind: kind.FIELDS for kind in KINDS.values()}
_KNOWN_KEYS = {
    kind: frozenset((_KEY_VERSION, _KEY_TYPE, *(field.key for field in fields))) for kind, fields in _FIELDS.items()
}


class Unknown(NamedTuple):
    """A message of a later version; `request` is its number if it expects an answer."""

    request: int | None


class Frame(NamedTuple):
    """One message and its payload, which is empty, or None where `place` wanted none of it."""

    message: Message | Unknown
    payload: memoryview | None

    @property
    def answers(self) -> bool:
        """Whether it brought what was asked for, wanted still or not."""
        return not isinstance(self.message, Unknown) and (self.payload is None or len(self.payload) > 0)


Place = Callable[[Message, int], memoryview | None]
"""Called with a message and the length of its payload: where to put it (a view of exactly that length), or None."""


def encode(message: Message, payload_length: int = 0) -> bytes:
    """Prefix and header of a frame; the payload follows it. Fields are not checked: they are ours."""
    fields: dict[int, object] = {_KEY_VERSION: VERSION, _KEY_TYPE: message.TYPE}
    for field in message.FIELDS:
        value = getattr(message, field.name)
        if value != field.default:
            fields[field.key] = value
    header: bytes = msgpack.packb(fields)
    return _PREFIX.pack(len(header), payload_length) + header


def decode_header(header: bytes | memoryview) -> Message | Unknown:
    """The message of a header map. Raises RemoteProtocolError and nothing else."""
    try:
        fields = msgpack.unpackb(
            header, strict_map_key=False, max_map_len=64, max_array_len=1024, max_ext_len=0, max_bin_len=1024
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"A frame's header is no MessagePack map: {error}.") from error
    if type(fields) is not dict:
        raise RemoteProtocolError("A frame's header is no map.")
    for key in fields:  # a generator would cost as much as all the rest
        if type(key) is not int or key < 0:
            raise RemoteProtocolError("A frame's header is no map with integer keys.")
    number = fields.get(_KEY_TYPE)
    if type(fields.get(_KEY_VERSION)) is not int or type(number) is not int:
        raise RemoteProtocolError("A frame's header lacks version or type.")
    kind = KINDS.get(number)
    if kind is None or fields[_KEY_VERSION] != VERSION:
        request = fields.get(_KEY_REQUEST)
        return Unknown(request if type(request) is int and 0 <= request <= MAX_REQUEST else None)
    if not _KNOWN_KEYS[kind].issuperset(fields) and any(key % 2 == 0 for key in fields.keys() - _KNOWN_KEYS[kind]):
        raise RemoteProtocolError(f"{kind.__name__} has a field that must be understood and is not.")
    values = []
    for field in _FIELDS[kind]:
        value = fields.get(field.key, field.default)
        if value is REQUIRED:
            raise RemoteProtocolError(f"{kind.__name__} lacks its {field.name}.")
        values.append(value if value is field.default else field.check(value))
    make: Callable[..., Message] = kind
    return make(*values)  # fields stand in the order of the parameters


def _nowhere(message: Message, length: int) -> None:
    return None


class FrameReader:
    """The receiving half: says where the next bytes go, is told how many came, returns whole frames.

    Invariant: at most STAGING_BYTES plus one payload are held. After a RemoteProtocolError it is dead.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._staging = memoryview(bytearray(STAGING_BYTES))
        self._start = self._end = 0
        self._message: Message | Unknown | None = None
        self._target: memoryview | None = None
        self._filled = 0
        self._to_skip = 0

    def get_buffer(self) -> memoryview:
        """Where the next bytes go; never empty."""
        if self._target is not None:
            return self._target[self._filled :]
        if self._start:
            held = self._end - self._start
            self._staging[:held] = self._staging[self._start : self._end]
            self._start, self._end = 0, held
        return self._staging[self._end :]

    @property
    def begun(self) -> bool:
        """Whether some of a frame is here, but not all of it."""
        return self._target is not None or self._to_skip > 0 or self._start < self._end

    @property
    def in_payload(self) -> bool:
        """Whether some of an answer's payload is here, but not all of it; one that is not wanted any more counts."""
        return self._target is not None or (self._to_skip > 0 and not isinstance(self._message, Unknown))

    def release(self) -> None:
        """Nothing more will come: let go of all buffers now, not when the collector finds the connection."""
        self._staging = memoryview(b"")
        self._target = self._message = None
        self._place = _nowhere

    def rest_of_payload(self) -> tuple[memoryview, memoryview] | None:
        """In the middle of a payload: where its rest goes, and where what follows it may go; else None.

        Who fills them says so by `advance` of the first, and then of the second.
        """
        if self._target is None:
            return None
        self._start = self._end = 0  # all that was staged belonged to the payload
        return self._target[self._filled :], self._staging

    def advance(self, count: int) -> list[Frame]:
        """`count` bytes were put into the last buffer. The frames completed by them; RemoteProtocolError."""
        if self._target is not None:
            self._filled += count
            if self._filled < len(self._target):
                return []
            return [self._finish()]
        self._end += count
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        if self._start == self._end:
            self._start = self._end = 0
        return frames

    def _next(self) -> Frame | None:
        if self._to_skip:
            return self._skip()
        available = self._end - self._start
        if available < PREFIX_BYTES:
            return None
        header_length, payload_length = _PREFIX.unpack_from(self._staging, self._start)
        if not 0 < header_length <= MAX_HEADER_BYTES or payload_length > MAX_PAYLOAD_BYTES:
            raise RemoteProtocolError(f"A frame claims a header of {header_length} and {payload_length} bytes more.")
        if available < PREFIX_BYTES + header_length:
            return None
        begin = self._start + PREFIX_BYTES
        message = decode_header(self._staging[begin : begin + header_length])
        self._start = begin + header_length
        if not isinstance(message, Unknown) and payload_length > MAX_PAYLOAD.get(type(message), 0):
            raise RemoteProtocolError(f"{type(message).__name__} with a payload of {payload_length} bytes.")
        if isinstance(message, Data) and not payload_length:
            raise RemoteProtocolError("DATA without a payload.")  # before it is taken for the DATA that is to come
        self._message = message
        if payload_length == 0:
            return Frame(message, memoryview(b""))
        target = None if isinstance(message, Unknown) else self._place(message, payload_length)
        if target is None:
            self._to_skip = payload_length
            return self._skip()
        self._target = target
        self._filled = min(self._end - self._start, payload_length)
        target[: self._filled] = self._staging[self._start : self._start + self._filled]
        self._start += self._filled
        return self._finish() if self._filled == payload_length else None

    def _skip(self) -> Frame | None:
        gone = min(self._to_skip, self._end - self._start)
        self._start += gone
        self._to_skip -= gone
        if self._to_skip:
            return None
        assert self._message is not None
        return Frame(self._message, None)

    def _finish(self) -> Frame:
        assert self._message is not None
        frame = Frame(self._message, self._target)
        self._target = None
        self._filled = 0
        return frame
