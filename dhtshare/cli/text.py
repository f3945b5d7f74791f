"""Answers as people read them: results as tables, what happens on the way as bars or lines."""

from __future__ import annotations

import sys

from dhtshare.cli.blocks import Line, View
from dhtshare.cli.feed import Feed, plain_feed
from dhtshare.cli.plain import plain_lines
from dhtshare.cli.printer import complain
from dhtshare.control.protocol import End, JsonObject


class TextPrinter:
    """Lays results out by `view`; on a terminal in colour and with progress bars, else as plain lines."""

    def __init__(self, view: View, *, quiet: bool, verbose: bool) -> None:
        self._view = view
        self._quiet = quiet
        self._verbose = verbose
        self._feed: Feed | None = None

    def event(self, fields: JsonObject) -> None:
        if self._quiet:
            return
        if self._feed is None:
            self._feed = self._make_feed()
        self._feed.show(fields)

    def result(self, fields: JsonObject) -> None:
        self.close()
        blocks = failed_view(fields) if "error" in fields else self._view(fields)
        if sys.stdout.isatty():
            from dhtshare.cli.coloured import draw, terminal

            draw(terminal(sys.stdout), blocks)
        else:
            for line in plain_lines(blocks):
                print(line)  # noqa: T201
        sys.stdout.flush()

    def note(self, sentence: str) -> None:
        if not self._quiet:
            for line in plain_lines([Line(sentence)]):
                print(line, file=sys.stderr, flush=True)  # noqa: T201

    def end(self, end: End) -> int:
        self.close()
        complain(end, verbose=self._verbose)
        return end.code

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def _make_feed(self) -> Feed:
        if sys.stderr.isatty():
            from dhtshare.cli.bars import BarFeed

            return BarFeed(sys.stderr, verbose=self._verbose)
        return plain_feed(sys.stderr, verbose=self._verbose)


def failed_view(fields: JsonObject) -> list[Line]:
    """The line of one target of several that failed."""
    return [Line(f"{fields.get('target', '')}: {fields['error'].get('message', 'failed')}", "red")]
