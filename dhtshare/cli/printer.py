"""Where answers go: results to standard output, all else to standard error.

One stream of answers, two printers: JSON lines here, text in `text`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from dhtshare.cli.display import visible
from dhtshare.control.protocol import End, JsonObject


class Printer(Protocol):
    """What a command tells as it goes."""

    def event(self, fields: JsonObject) -> None:
        """Something happened on the way."""

    def result(self, fields: JsonObject) -> None:
        """A result object."""

    def note(self, sentence: str) -> None:
        """Something worth knowing that is neither."""

    def end(self, end: End) -> int:
        """How it ended; gives the exit code."""

    def close(self) -> None:
        """Leave the terminal as it was found, at any moment."""


def complain(end: End, *, verbose: bool) -> None:
    """The sentence of a failure on standard error, with the traceback of a bug only when asked for."""
    if verbose and end.traceback:
        for line in end.traceback.splitlines():
            print(visible(line), file=sys.stderr)  # noqa: T201 - this is a printer
    if end.message:
        print(f"dhtshare: {visible(end.message)}", file=sys.stderr, flush=True)  # noqa: T201


def error_object(code: int, message: str | None) -> JsonObject:
    """What `--json` prints where there is no result."""
    return {"error": {"code": code, "message": message or ""}}


class JsonPrinter:
    """JSON lines in ASCII; the last line is the result, or the error where there is none."""

    def __init__(self, *, quiet: bool, verbose: bool, kept_when_quiet: Sequence[str] = ()) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._kept_when_quiet = frozenset(kept_when_quiet)
        self._has_result = False

    def event(self, fields: JsonObject) -> None:
        if not self._quiet or fields.get("event") in self._kept_when_quiet:
            self._print(fields)

    def result(self, fields: JsonObject) -> None:
        self._has_result = True
        self._print(fields)

    def note(self, sentence: str) -> None:
        if not self._quiet:
            print(visible(sentence), file=sys.stderr, flush=True)  # noqa: T201

    def end(self, end: End) -> int:
        complain(end, verbose=self._verbose)
        if end.code and not self._has_result:
            self._print(error_object(end.code, end.message))
        return end.code

    def close(self) -> None:
        pass

    def _print(self, fields: dict[str, Any]) -> None:
        # One write: `print` makes two, and a Ctrl-C between them would join this line and the next.
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()
