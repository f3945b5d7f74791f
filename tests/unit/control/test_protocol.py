"""The lines of the control socket: golden bytes, round trips, and anything at all as input."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.control.protocol import (
    Answer,
    End,
    Event,
    Request,
    Result,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from dhtshare.errors import MalformedError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=5)


def test_a_request_is_one_ascii_line() -> None:
    request = Request("search", {"words": ["Música"]}, None)
    assert encode_request(request) == b'{"op":"search","args":{"words":["M\\u00fasica"]},"network":null}\n'


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Event({"event": "peer"}), b'{"event":{"event":"peer"}}\n'),
        (Result({"hash": "00"}), b'{"result":{"hash":"00"}}\n'),
        (End(), b'{"end":{"code":0,"message":null,"traceback":null}}\n'),
        (End(4, "No hit."), b'{"end":{"code":4,"message":"No hit.","traceback":null}}\n'),
    ],
)
def test_an_answer_is_one_ascii_line(answer: Answer, line: bytes) -> None:
    assert encode_answer(answer) == line
    assert decode_answer(line) == answer


@given(st.text(), json_objects, st.none() | st.text())
def test_requests_survive_the_trip(op: str, args: dict[str, Any], network: str | None) -> None:
    line = encode_request(Request(op, args, network))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert decode_request(line) == Request(op, args, network)


@given(json_objects)
def test_events_and_results_survive_the_trip(fields: dict[str, Any]) -> None:
    assert decode_answer(encode_answer(Event(fields))) == Event(fields)
    assert decode_answer(encode_answer(Result(fields))) == Result(fields)


def test_a_file_name_that_is_no_utf8_survives_the_trip() -> None:
    args = {"paths": ["/tmp/lone\udcff"]}
    assert decode_request(encode_request(Request("publish", args))).args == args


def test_what_a_newer_program_adds_to_an_end_is_ignored() -> None:
    assert decode_answer(b'{"end":{"code":7,"message":"x","hint":3}}') == End(7, "x")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"op":1}',
        b'{"op":"x","args":[]}',
        b'{"op":"x","network":7}',
        b'{"args":{}}',
        b'{"op":"x"',
        b"[" * 100_000,  # nesting beyond Python's stack
        b'{"op":' + b"9" * 5000 + b"}",  # beyond the digits Python converts
    ],
)
def test_what_is_no_request_is_malformed(line: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_request(line)


@pytest.mark.parametrize("line", [b"{}", b'{"event":1}', b'{"result":[]}', b'{"end":{}}', b'{"end":{"code":"0"}}'])
def test_what_is_no_answer_is_malformed(line: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_answer(line)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_request_or_malformed(line: bytes) -> None:
    try:
        request = decode_request(line)
    except MalformedError:
        return
    assert decode_request(encode_request(request)) == request
