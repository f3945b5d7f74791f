"""Numbers for signed entries that only ever grow, also when the clock is set back and the process is killed.

A number is the Unix time in milliseconds, or one more than the last. The counter may hand out any number up
to a ceiling that is on the disk already; a restart goes on above that ceiling. So one write serves a minute
of numbers, and none is ever used twice. Pure: the caller stores the ceiling.
"""

from __future__ import annotations

from collections.abc import Callable

#: How far ahead one stored ceiling reaches: in milliseconds, which is also that many numbers.
RESERVED = 60_000


class SequenceCounter:
    """Invariant: every number handed out is greater than all before it and at most the stored ceiling."""

    def __init__(self, ceiling: int) -> None:
        self._last = ceiling
        self._ceiling = ceiling

    def next(self, unix_ms: int, store: Callable[[int, int], int]) -> int:
        """The next number.

        `store(last, ahead)` is called when the ceiling is reached: it makes `max(stored, last) + ahead`
        durable and returns what was stored before, which is greater than ours when another process of this
        home took numbers meanwhile. What it raises leaves the counter as it was.
        """
        number = max(self._last + 1, unix_ms)
        if number > self._ceiling:
            before = store(number, RESERVED)
            self._ceiling = max(before, number) + RESERVED
            number = max(number, before + 1)
        self._last = number
        return number

    def unused(self) -> tuple[int, int]:
        """(ceiling, last): what a clean end may lower the stored ceiling from and to."""
        return self._ceiling, self._last
