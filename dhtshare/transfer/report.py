"""What a fetch tells while it runs and at its end: events, sums, and who gave what. Pure.

Events are plain objects, as they stand on the command line's JSON: `started`, `peer`, `chunk_bad`, `progress` at most
four times a second, `availability` where it takes a while, `finished`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dhtshare.content.layout import Layout
from dhtshare.network import Address
from dhtshare.transfer.availability import MAX_PARTS, lacking, parts_of
from dhtshare.transfer.files import FileProgress
from dhtshare.transfer.missing import Missing
from dhtshare.transfer.picker import Picker

SECONDS_BETWEEN_EVENTS = 0.25
SECONDS_BEFORE_AVAILABILITY = 2.0
SECONDS_BETWEEN_AVAILABILITY = 5.0
MAP_CELLS = 100
"""The chunk map has one digit, 0 to 8, for each of so many stretches of the content."""

OnEvent = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Source:
    """What one peer gave. Bytes of right chunks only. `incoming`: it dialled us from `address`, which listens to
    nobody."""

    address: str
    chunks: int = 0
    bytes: int = 0
    bad_chunks: int = 0
    incoming: bool = False


@dataclass(frozen=True, slots=True)
class SwarmResult:
    """What it took. Bytes of content; `names`: what peers call it, and how many do; `copied`: what was the same as a
    chunk that came."""

    downloaded: int
    discarded: int
    seconds: float
    sources: tuple[Source, ...]
    names: Counter[str]
    copied: int = 0


class Report:
    """The sums of one fetch, of the chunks that were missing when it started."""

    def __init__(self, layout: Layout, picker: Picker, missing: Missing, on_event: OnEvent, now: float) -> None:
        self.names: Counter[str] = Counter()
        self.stored = self.discarded = self.copied = 0
        self.progress_at = now
        self._layout = layout
        self._picker = picker
        self._total = missing.size
        self._files = FileProgress(layout, missing)
        self._on_event = on_event
        self._started = self._told_at = now
        self._availability_at = -math.inf
        self._nobody: int | None = None
        """The chunks that nobody had when that was told."""
        self._sources: dict[Address, Source] = {}

    def started(self) -> None:
        """The fetch begins."""
        self._event("started", size=self._total, chunks=self._layout.chunk_count)

    def peer(self, address: Address, state: str, **fields: object) -> None:
        """Something happened to a peer: dialled, connected, refused, lost or banned."""
        self._on_event({"event": "peer", **self._named(address), "state": state, **fields})

    def connected(self, address: Address, chunks: int, origin: str, *, incoming: bool = False) -> None:
        """A peer that holds so many chunks is at work; it stands in the summary, whatever it gives."""
        self._source(address).incoming = incoming
        self.peer(address, "connected", chunks=chunks, source=origin)

    def chunk_stored(self, address: Address, chunk: int, length: int, now: float) -> None:
        """A chunk is verified and on the disk; its peer may be gone by now."""
        source = self._source(address)
        source.chunks += 1
        source.bytes += length
        self.stored += length
        self._files.stored(chunk)
        self.progress_at = now

    def chunk_copied(self, chunk: int, now: float) -> None:
        """A chunk is on the disk, and nobody had to send it."""
        length = self._layout.slot(chunk).length
        self.stored += length
        self.copied += length
        self._files.stored(chunk)
        self.progress_at = now

    def chunk_false(self, address: Address, chunk: int, length: int) -> None:
        """A peer sent a false chunk."""
        self._source(address).bad_chunks += 1
        self.discarded += length
        self._on_event({"event": "chunk_bad", "chunk": chunk, **self._named(address)})

    def _named(self, address: Address) -> dict[str, object]:
        source = self._sources.get(address)
        named: dict[str, object] = {"address": str(address)}
        return {**named, "incoming": True} if source is not None and source.incoming else named

    def _source(self, address: Address) -> Source:
        source = self._sources.get(address)
        if source is None:
            source = self._sources[address] = Source(str(address))
        return source

    def is_due(self, now: float) -> bool:
        """Whether progress was not told a moment ago."""
        return now - self._told_at >= SECONDS_BETWEEN_EVENTS

    def progress(self, now: float, rate: float, peers: int, *, last: bool = False) -> None:
        """Tell how far it is, unless it was told a moment ago. `rate` in bytes a second."""
        if not last and not self.is_due(now):
            return
        self._told_at = now
        available = self._picker.availability()
        self._event(
            "finished" if last else "progress",
            done=self.stored,
            total=self._total,
            rate=round(rate),
            eta=round((self._total - self.stored) / rate, 1) if rate > 0 else None,
            peers=peers,
            full_copies=available.full,
            rarest=available.rarest,
            copies=round(available.copies, 2),
            missing_everywhere=available.nobody.bit_count(),
            **self._files.fields(),
            map=self._picker.map(MAP_CELLS),
        )

    def availability(self, now: float, peers: int) -> None:
        """Tell how many copies there are, once the fetch takes a while; again when the part that nobody has changes."""
        if not peers or now - self._started < SECONDS_BEFORE_AVAILABILITY:
            return
        available = self._picker.availability()
        news = self._nobody is None or available.nobody != self._nobody
        if not news or now - self._availability_at < SECONDS_BETWEEN_AVAILABILITY:
            return
        self._nobody, self._availability_at = available.nobody, now
        said = f"{peers} {'peer' if peers == 1 else 'peers'}: {available.sentence()}."
        if available.nobody:
            said += f" {lacking(self._layout, available.nobody)} Waiting for somebody who has the rest."
        self._event(
            "availability",
            peers=peers,
            full_copies=available.full,
            rarest=available.rarest,
            copies=round(available.copies, 2),
            missing_everywhere=available.nobody.bit_count(),
            missing=[part.fields() for part in islice(parts_of(self._layout, available.nobody), MAX_PARTS)],
            message=said,
        )

    def result(self, now: float) -> SwarmResult:
        """The sums at the end, who gave most first."""
        sources = tuple(sorted(self._sources.values(), key=lambda source: -source.bytes))
        return SwarmResult(
            self.stored - self.copied, self.discarded, now - self._started, sources, self.names, self.copied
        )

    def _event(self, name: str, **fields: object) -> None:
        self._on_event({"event": name, "hash": self._layout.content_hash.hex(), **fields})
