"""What happens on the way, as lines: for pipes, files and dumb terminals. Bars are in `bars`.

A feed knows the events by their fields, not by who sends them: whatever has `done` and a `total` (or
`size`) is a progress, whatever has a `message` is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Protocol

from dhtshare.cli.display import counted, human_rate, human_remaining, human_size, visible

SECONDS_BETWEEN_LINES = 2.0


class Feed(Protocol):
    """Shows events; `close` leaves the terminal as it was."""

    def show(self, fields: dict[str, Any]) -> None:
        """One event, as it came."""

    def close(self) -> None:
        """No more events. May be called at any moment, and twice."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file or transfer is. Bytes, bytes per second, seconds; None is unknown.

    `files` and `current`: in words, of a collection, how many files are whole and how far those are that come now.
    """

    key: str
    label: str
    done: int
    size: int
    rate: float | None = None
    eta: float | None = None
    peers: int | None = None
    chunk_map: str = ""
    files: str = ""
    current: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Progress | None:
        """The progress that an event tells, or None."""
        done, size = fields.get("done"), fields.get("total", fields.get("size"))
        if not isinstance(done, int) or not isinstance(size, int):
            return None
        event, name = fields.get("event"), fields.get("name") or fields.get("path") or fields.get("hash")
        if event == "finished":
            event = "progress"  # the same bar at its end
        doing = [] if event == "progress" else [event]  # a transfer needs no verb, hashing and verifying do
        return cls(
            key=f"{event} {fields.get('hash', name)}",
            label=" ".join(str(part) for part in (*doing, name) if part),
            done=done,
            size=size,
            rate=fields.get("rate"),
            eta=fields.get("eta"),
            peers=fields.get("peers"),
            chunk_map=str(fields.get("map") or ""),
            files=f"{fields['files_done']} of {counted(fields['files'], 'file')}" if "files_done" in fields else "",
            current=tuple(map(_part_of_file, fields.get("current", ()))),
        )

    @property
    def complete(self) -> bool:
        return self.done >= self.size

    def sentence(self) -> str:
        """'name: 12.4 MiB of 1.0 GiB (1 %), 3.1 MiB/s, 5 min 30 s left, 4 peers'."""
        percent = 100 * self.done // self.size if self.size else 100
        parts = [f"{self.label}: {human_size(self.done)} of {human_size(self.size)} ({percent} %)"]
        if self.rate:
            parts.append(human_rate(self.rate))
        if self.eta is not None and not self.complete:
            parts.append(human_remaining(self.eta))
        if self.peers is not None:
            parts.append(counted(self.peers, "peer"))
        if self.files:
            parts.append(self.files)
        return ", ".join(parts)


def _part_of_file(fields: dict[str, Any]) -> str:
    """'40 % docs/film.mkv'."""
    return f"{100 * fields['chunks_done'] // max(1, fields['chunks']):3} % {fields['path']}"


def sentence_of(fields: dict[str, Any], *, verbose: bool) -> str | None:
    """What an event that is no progress says to people; None where it is not worth a line."""
    if isinstance(message := fields.get("message"), str):
        return message
    match fields.get("event"):
        case "ready":
            contacts = counted(int(fields.get("contacts", 0)), "contact")
            return f"Listening on {fields.get('address')} with {contacts}. Ctrl-C stops."
        case "searching":
            return "Looking for peers …"
        case "chunk_bad":
            return f"{fields.get('address', 'A peer')} sent a chunk that does not match its hash; it is fetched again."
        case "hit" | "failed":
            return None  # both stand in the result
    if verbose:
        details = ", ".join(f"{name} {value}" for name, value in fields.items() if name != "event")
        return f"{fields.get('event', 'event')}: {details}" if details else str(fields.get("event", "event"))
    return None


class PlainFeed:
    """A line now and then. `write` gets each without its line end; `clock` is monotonic seconds."""

    def __init__(self, write: Callable[[str], None], *, verbose: bool, clock: Callable[[], float]) -> None:
        self._write = write
        self._verbose = verbose
        self._clock = clock
        self._due: dict[str, float] = {}

    def show(self, fields: dict[str, Any]) -> None:
        progress = Progress.of(fields)
        if progress is None:
            sentence = sentence_of(fields, verbose=self._verbose)
            if sentence is not None:
                self._write(visible(sentence))
            return
        now = self._clock()
        # The first line waits, too: what is done within two seconds needs no progress.
        due = self._due.setdefault(progress.key, now + SECONDS_BETWEEN_LINES)
        if now >= due:
            self._due[progress.key] = now + SECONDS_BETWEEN_LINES
            self._write(visible(progress.sentence()))

    def close(self) -> None:
        pass


def plain_feed(stream: IO[str], *, verbose: bool) -> PlainFeed:
    """A feed of lines on `stream`."""
    return PlainFeed(lambda line: print(line, file=stream, flush=True), verbose=verbose, clock=time.monotonic)
