"""Fuzz targets of text from elsewhere: links, paths, names, words, patterns, control requests, lists of nodes."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import typer

from dhtshare.bootstrap_file import parse_bootstrap
from dhtshare.cli.coercion import Coercion
from dhtshare.cli.display import visible
from dhtshare.config import NodeConfig, parse_size
from dhtshare.content.globs import compile_globs
from dhtshare.content.keywords import MAX_WORD_BYTES, MAX_WORDS, extension_of, tokenize, words_for
from dhtshare.content.link import is_link, parse_link
from dhtshare.content.paths import check_relative_path, dot_name, safe_name
from dhtshare.control.arguments import decode_arguments
from dhtshare.control.protocol import (
    End,
    Event,
    Request,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from dhtshare.control.stories import OPERATIONS
from dhtshare.errors import MalformedError, UsageError
from dhtshare.network import make_address, network_id, parse_ip
from dhtshare.targets import parse_peer
from tests.fuzz.target import Target

MAX_NAME_BYTES = 255


def _text(data: bytes) -> str:
    """Any text that a terminal, a file system or JSON can hand us: lone surrogates included."""
    return data.decode("utf-8", "surrogateescape")


def link(data: bytes) -> None:
    """What one person hands another."""
    text = _text(data)
    with contextlib.suppress(MalformedError, UsageError):
        parsed = parse_link(text)
        assert is_link(text)
        again = parse_link(parsed.format())
        assert (again.content_hash, again.size, again.network) == (parsed.content_hash, parsed.size, parsed.network)
        assert again.peers == parsed.peers
        assert parsed.format().isascii()


def path(data: bytes) -> None:
    """A path inside a stranger's collection: refused, or harmless on any system."""
    text = _text(data)
    with contextlib.suppress(MalformedError):
        check_relative_path(text)
        parts = text.split("/")
        assert ".." not in parts
        assert "" not in parts[:-1]
        assert not text.startswith(("/", "\\"))
        assert all(part == safe_name(part) for part in parts if part), "what is accepted needs no repair"


def name(data: bytes) -> None:
    """A stranger's name becomes a file's: always possible, always safe."""
    made = safe_name(_text(data))
    check_relative_path(made)
    assert "/" not in made
    assert 0 < len(made.encode()) <= MAX_NAME_BYTES
    assert safe_name(made) == made, "safe once is safe for good"
    assert len(dot_name(made).encode()) <= MAX_NAME_BYTES


def keywords(data: bytes) -> None:
    """Words are protocol: any text gives some, and a word gives itself."""
    text = _text(data)
    for word in tokenize(text):
        assert 0 < len(word.encode()) <= MAX_WORD_BYTES
        assert word == word.casefold() or tokenize(word), "a word can be searched for"
    assert len(words_for([text], text)) <= MAX_WORDS
    extension_of(text)


def shown(data: bytes) -> None:
    """What reaches a terminal never steers it."""
    made = visible(_text(data))
    assert made.isprintable() or not set(map(ord, made)) & {*range(32), *range(127, 160), 0x200B, 0x202E, 0x2066}


def glob(data: bytes) -> None:
    """A pattern of --only, and a path that it is held against."""
    pattern, _, subject = _text(data).partition("\n")
    with contextlib.suppress(UsageError):
        compile_globs([pattern]).fullmatch(subject[:64])


def control(data: bytes) -> None:
    """A line on the control socket, from either side."""
    with contextlib.suppress(MalformedError):
        request = decode_request(data)
        assert decode_request(encode_request(request)) == request
    with contextlib.suppress(MalformedError):
        answer = decode_answer(data)
        assert decode_answer(encode_answer(answer)) == answer


def arguments(data: bytes) -> None:
    """The arguments of each operation, as JSON from the control socket."""
    with contextlib.suppress(MalformedError):
        request = decode_request(data)
        for operation in OPERATIONS.values():
            with contextlib.suppress(UsageError):
                decoded = decode_arguments(operation.request, request.args)
                for name, value in request.args.items():
                    assert (
                        list(given) == value if isinstance(given := getattr(decoded, name), tuple) else given == value
                    )


def settings(data: bytes) -> None:
    """What stands in options and environment variables: sizes, addresses, networks."""
    text = _text(data)
    with contextlib.suppress(UsageError):
        assert parse_size(text) >= 0
    with contextlib.suppress(UsageError, MalformedError):
        peer = parse_peer(text)
        assert 0 < peer.port < 1 << 16
        if parse_ip(peer.host) is not None:
            make_address(peer.host, peer.port)
    with contextlib.suppress(UsageError):
        assert len(network_id(text)) == 4
    for hint in (int, float, bool, list[int], Path | None):
        with contextlib.suppress(typer.BadParameter):
            Coercion(hint).coerce([text] if hint == list[int] else text, param=None, ctx=None)
    with contextlib.suppress(UsageError):
        NodeConfig(home=Path("/nowhere"), treat_as_public=(text,), reachable=text or "auto")


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    logger = logging.getLogger("dhtshare")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def nodes(data: bytes) -> None:
    """A list of nodes to join by, each bad line of which is a warning."""
    with _unlogged(), contextlib.suppress(UsageError):
        for host, port in parse_bootstrap(_text(data), "fuzz"):
            assert host
            assert 0 < port < 1 << 16


_HASH = "5a" * 32

TARGETS = (
    Target(
        "link",
        link,
        (
            f"dhtshare:{_HASH}".encode(),
            f"dhtshare:{_HASH}?name=M%C3%BAsica%20%26.mp3&size=12&net=home&peer={_HASH}@[::1]:4470&peer=h.org:1".encode(),
        ),
    ),
    Target("path", path, (b"a/b/c.txt", "Música/北京/x".encode(), b"empty/", b"../x", b"C:\\x", b"CON/nul.txt")),
    Target("name", name, (b"file.txt", b"..", b"CON.txt", "a\u202eb".encode(), b"x" * 300, b"trailing. ")),
    Target("keywords", keywords, ("Música Popular – 01.mp3".encode(), "हिन्दी 北京欢迎你 さくら".encode(), b"a b c")),
    Target("shown", shown, (b"plain", b"\x1b[31mred", "\u200b\u2066\u2069\u0085".encode())),
    Target("glob", glob, (b"**/*.py\na/b.py", b"[!a-z]?/x\nA1/x", b"[z-a]\nz")),
    Target(
        "control",
        control,
        (
            encode_request(Request("search", {"words": ["a"], "limit": 5}, "home")),
            encode_answer(Event({"event": "hit", "name": "x"})),
            encode_answer(End(4, "nothing")),
            json.dumps({"result": {"ok": True}}).encode(),
        ),
    ),
    Target(
        "arguments",
        arguments,
        tuple(
            json.dumps({"op": op, "args": args}).encode()
            for op, args in (
                ("publish", {"paths": ["/a"], "keywords": ["a"], "name": None, "each": False, "wait": True}),
                ("fetch", {"targets": ["x"], "output": ".", "only": [], "timeout": 1.5, "seed": None}),
                ("search", {"words": ["a"], "limit": 5, "kind": "file", "timeout": 10}),
                ("limit", {"max_upload": 1 << 20, "max_download": None}),
            )
        ),
    ),
    Target("settings", settings, (b"1.5M", f"{_HASH}@[::1]:4470".encode(), b"10.0.0.0/8", b"home", b"auto")),
    Target("nodes", nodes, (b"# list\nnode.example.org:4470\n[2001:db8::1]:4470 # mine\n",)),
)
