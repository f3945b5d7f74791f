"""The time by which records are signed and judged: ours, unless most holders agree that we are wrong. Pure.

A machine whose clock is a day off would publish what every holder refuses, and refuse what all others keep.
Holders tell their time in every answer. If we differ by more than an hour from half of at least three of
them, the median of theirs counts for records. The system's clock is never touched.
"""

from __future__ import annotations

from statistics import median

from dhtshare.network import Address

TOLERANCE = 3600.0  # seconds
MIN_HOLDERS = 3
MAX_HOLDERS = 64  # the latest to answer count


class RecordClock:
    """What the holders' clocks say of ours. `wall`: our own Unix seconds."""

    def __init__(self) -> None:
        self._offsets: dict[str, float] = {}

    def observe(self, holder: Address, theirs: float, wall: float) -> None:
        """A holder's answer said what time it has. One opinion for each IP, the latest."""
        self._offsets.pop(holder.host, None)
        self._offsets[holder.host] = theirs - wall
        if len(self._offsets) > MAX_HOLDERS:
            del self._offsets[next(iter(self._offsets))]

    @property
    def offset(self) -> float:
        """Seconds to add to our time for records; 0.0 while we are near enough to most holders."""
        offsets = self._offsets.values()
        if len(offsets) < MIN_HOLDERS:
            return 0.0
        middle = median(offsets)
        far = sum(abs(offset) > TOLERANCE for offset in offsets)
        return middle if 2 * far > len(offsets) and abs(middle) > TOLERANCE else 0.0

    @property
    def wrong(self) -> bool:
        """Whether the user should be told that this machine's clock is off."""
        return self.offset != 0.0

    def time(self, wall: float) -> float:
        """The time to use for records."""
        return wall + self.offset


def clock_warning(clock: RecordClock) -> str | None:
    """What to tell the user: how far off this machine's clock is, and what that means. None while it is near enough."""
    offset = clock.offset
    if not offset:
        return None
    hours = max(1, round(abs(offset) / 3600))
    side = "behind" if offset > 0 else "ahead of"
    return (
        f"This machine's clock is about {hours} h {side} that of most other nodes; records use their time. "
        "Set the clock right."
    )
