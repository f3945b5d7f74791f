"""Ctrl-C while a running node works for us: the first cancels and waits for its word, the second leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STDERR = 2
_SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def first_signal_cancels(cancel: Callable[[], None], tidy: Callable[[], None]) -> Iterator[None]:
    """Within, SIGINT and SIGTERM call `cancel` once; the next one tidies the terminal and interrupts."""
    asked = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            try:
                tidy()
            except RuntimeError:  # the signal came in the middle of a write, which cannot be entered again
                if os.isatty(_STDERR):
                    os.write(_STDERR, _SHOW_CURSOR)
            raise KeyboardInterrupt
        asked = True
        cancel()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
