"""Chunks as HAVE and GIVEN carry them: first, count, first, count, …, and as bits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.messages import MAX_RUNS

Runs = tuple[int, ...]


def runs_of(chunks: Iterable[int]) -> Iterator[Runs]:
    """The chunks as runs, MAX_RUNS at a time: what one message may carry."""
    runs: list[int] = []
    for chunk in sorted(set(chunks)):
        if runs and runs[-2] + runs[-1] == chunk:
            runs[-1] += 1
            continue
        if len(runs) == 2 * MAX_RUNS:
            yield tuple(runs)
            runs = []
        runs += [chunk, 1]
    if runs:
        yield tuple(runs)


def bits_of(chunks: Iterable[int]) -> int:
    """The set of these chunks."""
    bits = bytearray()
    for chunk in chunks:
        byte = chunk >> 3
        if byte >= len(bits):
            bits.extend(bytes(byte + 1 - len(bits)))
        bits[byte] |= 1 << (chunk & 7)
    return int.from_bytes(bits, "little")


def bits_of_runs(runs: Runs, chunks: int) -> int:
    """The set of these chunks as bits. Raises RemoteProtocolError for half a run, or more than `chunks` there are."""
    if len(runs) % 2:
        raise RemoteProtocolError("A peer tells of half a run.")
    bits = 0
    for first, count in zip(runs[::2], runs[1::2], strict=True):
        if first + count > chunks:
            raise RemoteProtocolError("A peer tells of chunks that do not exist.")
        bits |= ((1 << count) - 1) << first
    return bits
