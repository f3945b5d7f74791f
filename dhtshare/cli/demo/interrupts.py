"""Ctrl-C, SIGTERM and a closed terminal during a demo: the first unwinds the story, a further one kills the nodes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dhtshare.errors import InterruptedByUserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns the first signal into InterruptedByUserError, raised where the story stands.

    Within `held` it is raised at the end: a process that was started but is not yet on the list of those to be
    stopped would be left behind.
    """

    def __init__(self, at_once: Callable[[], None]) -> None:
        self._at_once = at_once
        self._held = 0
        self._asked = False
        self._raised = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, signals come here."""
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, the first signal waits."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._raise_if_asked()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            self._at_once()
        self._asked = True
        self._raise_if_asked()

    def _raise_if_asked(self) -> None:
        if self._asked and not self._raised and not self._held:
            self._raised = True
            raise InterruptedByUserError("Interrupted; the nodes are stopped and their folders removed.")
