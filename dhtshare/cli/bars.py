"""What happens on the way, on a terminal: one bar per transfer, and the newest hits of a search.

Everything here is wiped when the result is printed. Imported only where there is a terminal.
"""

from __future__ import annotations

import time
from collections import deque
from typing import IO, Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from dhtshare.cli.coloured import terminal
from dhtshare.cli.display import chunk_map, counted, human_rate, human_remaining, human_size, visible
from dhtshare.cli.feed import Progress, sentence_of

SHOWN_HITS = 8
SECONDS_BETWEEN_REFRESHES = 0.1  # five hundred hits a second are five hundred events, not five hundred pictures
LONGEST_LABEL = 40


class BarFeed:
    """One live region at the bottom of the terminal; sentences scroll by above it."""

    def __init__(self, stream: IO[str], *, verbose: bool) -> None:
        self._console = terminal(stream)
        self._verbose = verbose
        self._bars = RichProgress(
            TextColumn("{task.fields[label]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self._console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._maps: dict[str, str] = {}
        self._current: dict[str, tuple[str, ...]] = {}
        self._hits: deque[Text] = deque(maxlen=SHOWN_HITS)
        self._hit_count = 0
        self._refresh_due = 0.0
        self._live = Live(console=self._console, transient=True, auto_refresh=False, get_renderable=self._region)
        self._live.start()

    def show(self, fields: dict[str, Any]) -> None:
        progress = Progress.of(fields)
        if progress is not None:
            self._move(progress)
        elif fields.get("event") == "hit":
            self._add_hit(fields)
        else:
            sentence = sentence_of(fields, verbose=self._verbose)
            if sentence is not None:
                self._console.print(Text(visible(sentence)))
        now = time.monotonic()
        if now >= self._refresh_due:
            self._refresh_due = now + SECONDS_BETWEEN_REFRESHES
            self._live.refresh()

    def close(self) -> None:
        self._live.stop()

    def _move(self, progress: Progress) -> None:
        if progress.key not in self._tasks:
            self._tasks[progress.key] = self._bars.add_task("", label="", figures="")
        self._bars.update(
            self._tasks[progress.key],
            completed=progress.done,
            total=max(progress.size, 1),
            label=shortened(visible(progress.label), LONGEST_LABEL),
            figures=figures(progress),
        )
        if self._verbose and progress.chunk_map:
            self._maps[progress.key] = progress.chunk_map
            self._current[progress.key] = progress.current

    def _add_hit(self, fields: dict[str, Any]) -> None:
        self._hit_count += 1
        name, size = str(fields.get("name", "")), fields.get("size")
        shown_size = f"  {human_size(size)}" if isinstance(size, int) else ""
        self._hits.append(Text(f"  {visible(name)}{shown_size}", style="dim", overflow="ellipsis", no_wrap=True))

    def _region(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._hit_count:
            parts += [*self._hits, Text(f"{counted(self._hit_count, 'hit')} so far …")]
        if self._tasks:
            parts.append(self._bars)
        width = self._console.width
        parts += [Text(chunk_map(digits, width), style="green") for digits in self._maps.values()]
        for current in self._current.values():
            parts += [Text(visible(line), style="dim", overflow="ellipsis", no_wrap=True) for line in current]
        return Group(*parts)


def figures(progress: Progress) -> str:
    """'12.4 MiB / 1.0 GiB  3.1 MiB/s  5 min 30 s left  4 peers', as far as known."""
    parts = [f"{human_size(progress.done)} / {human_size(progress.size)}"]
    if progress.rate is not None:
        parts.append(human_rate(progress.rate))
    if progress.eta is not None and not progress.complete:
        parts.append(human_remaining(progress.eta))
    if progress.peers is not None:
        parts.append(counted(progress.peers, "peer"))
    if progress.files:
        parts.append(progress.files)
    return "  ".join(parts)


def shortened(text: str, longest: int) -> str:
    """`text` with its middle left out where it is too long, so that the extension stays in sight."""
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"
