"""An unfinished content that a thread opens, while whoever wants it may leave at any moment."""

from __future__ import annotations

import threading
from pathlib import Path

from dhtshare.content.layout import Layout
from dhtshare.library.records import Kind
from dhtshare.library.target import IfExists
from dhtshare.library.unfinished import Unfinished


class Opening:
    """Invariant: after `close`, what `open` opened is closed as soon as there is something to close.

    Else it would stay locked for as long as the process lives.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given_up = False
        self._opened: Unfinished | None = None

    def open(
        self,
        directory: Path,
        name: str,
        layout: Layout,
        *,
        kind: Kind,
        files: frozenset[int] | None,
        exists: IfExists,
    ) -> Unfinished:
        """`Unfinished.open`, and its errors; in the thread."""
        opened = Unfinished.open(
            directory, name, layout, kind=kind, files=files, exists=exists, cancelled=self._was_given_up
        )
        with self._lock:
            self._opened = opened
            late = self._given_up
        if late:
            opened.close()
        return opened

    def close(self) -> None:
        """It is not wanted any more."""
        with self._lock:
            self._given_up = True
            opened = self._opened
        if opened is not None:
            opened.close()

    def _was_given_up(self) -> bool:
        return self._given_up
