"""Mutated inputs without any tool: the seeds, bent in the ways that break decoders. Deterministic for a given rng."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

MAX_BYTES = 5000
# MessagePack's openers of nested and long things, JSON's, separators of links and paths, signs that are not shown.
TOKENS = (
    *(bytes((byte,)) for byte in (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC4, 0xC7, 0xC9, 0xCA)),
    *(b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8),
    *(b"\xd3\x80" + b"\0" * 7, b"\xcb\x7f\xf8" + b"\0" * 6, b"\xd4\x05a", b"\xd6\xff\0\0\0\0"),
    *(b"{", b"[", b'"', b"\\u", b"null", b"1e999", b"%", b"&", b"=", b"?", b"@", b":", b"/", b"..", b"\\", b"*", b"[!"),
    *("\u202e".encode(), "\u200b".encode(), b"\xed\xa0\x80", b"\xff", b"\x1b[", b"\r\n"),
)


def mutations(seeds: Sequence[bytes], rng: random.Random) -> Iterator[bytes]:
    """Endless inputs: each is a seed, or two joined, bent one to four times; now and then plain noise."""
    while True:
        if rng.random() < 0.05:
            yield rng.randbytes(rng.randrange(64))
            continue
        yield bent(rng.choice(seeds), seeds, rng)[:MAX_BYTES]


def bent(data: bytes, seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """These bytes, bent one to four times; now and then with a piece of a seed."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        _bend(changed, seeds, rng)
    return bytes(changed)


def _bend(data: bytearray, seeds: Sequence[bytes], rng: random.Random) -> None:
    """One change, in place."""
    at = rng.randrange(len(data) + 1)
    match rng.randrange(7):
        case 0 if data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        case 1 if data:
            data[at % len(data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        case 2:
            data[at:at] = rng.choice(TOKENS)
        case 3:
            del data[at : at + rng.randint(1, 8)]
        case 4:
            del data[at:]
        case 5:
            data[at:at] = data[at : at + 40] * rng.choice((1, 2, 60))
        case _:
            other = rng.choice(seeds)
            data[at:] = other[rng.randrange(len(other) + 1) :]
