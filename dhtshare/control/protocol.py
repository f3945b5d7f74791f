"""The control socket's language: one JSON object per line, one request per connection.

    request  {"op": "search", "args": {...}, "network": "name" or null}
    answers  {"event": {...}}*  {"result": {...}}*  {"end": {"code": 0, "message": null, "traceback": null}}

The side that asked ends its half of the connection to cancel the operation and may go on reading to
the end; closing the connection cancels it too. Pure: bytes in, typed messages out. Decoders raise
MalformedError and nothing else. Imports nothing but json, so that a client starts quickly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dhtshare.errors import MalformedError

JsonObject = dict[str, Any]

MAX_REQUEST_BYTES = 8 << 20  # a `publish` of as many paths as a shell can name (2 MiB of arguments, escaped)
MAX_ANSWER_BYTES = 256 << 20  # a `list` of a million items; a longer line is no answer of ours


@dataclass(frozen=True, slots=True)
class Request:
    """What to do. `network` is set where the user named one: the node refuses to stand in for another."""

    op: str
    args: JsonObject
    network: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on the way."""

    fields: JsonObject


@dataclass(frozen=True, slots=True)
class Result:
    """A result object exactly as `--json` prints it."""

    fields: JsonObject


@dataclass(frozen=True, slots=True)
class End:
    """How it ended: exit code, the sentence for the user unless all went well, and where a bug struck."""

    code: int = 0
    message: str | None = None
    traceback: str | None = None


Answer = Event | Result | End


def encode_request(request: Request) -> bytes:
    """One line."""
    return _line({"op": request.op, "args": request.args, "network": request.network})


def decode_request(line: bytes) -> Request:
    """The request on a line. Raises MalformedError."""
    fields = _object(line)
    op, args, network = fields.get("op"), fields.get("args", {}), fields.get("network")
    if not isinstance(op, str) or not isinstance(args, dict) or not isinstance(network, str | None):
        raise MalformedError("A control request has a text 'op', an object 'args' and a text 'network' or null.")
    return Request(op, args, network)


def encode_answer(answer: Answer) -> bytes:
    """One line."""
    match answer:
        case Event(fields):
            return _line({"event": fields})
        case Result(fields):
            return _line({"result": fields})
        case End(code, message, traceback):
            return _line({"end": {"code": code, "message": message, "traceback": traceback}})


def decode_answer(line: bytes) -> Answer:
    """The answer on a line. Raises MalformedError."""
    match _object(line):
        case {"event": dict() as fields}:
            return Event(fields)
        case {"result": dict() as fields}:
            return Result(fields)
        case {"end": {"code": int() as code, **rest}}:
            return End(code, _text(rest.get("message")), _text(rest.get("traceback")))
    raise MalformedError("An answer on the control socket is an event, a result or an end.")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _line(fields: JsonObject) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _object(line: bytes) -> JsonObject:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"A line on the control socket is no JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise MalformedError("A line on the control socket is no JSON object.")
    return fields
