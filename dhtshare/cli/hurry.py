"""Ctrl-C while a running node works for us: the first cancels and waits for its word, the second leaves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def first_signal_cancels(cancel: Callable[[], None], tidy: Callable[[], None]) -> Iterator[None]:
    """Within, SIGINT and SIGTERM call `cancel` once; the next one tidies the terminal and interrupts."""
    asked = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            tidy()
            raise KeyboardInterrupt
        asked = True
        cancel()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
