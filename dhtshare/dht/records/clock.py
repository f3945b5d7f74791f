"""The time by which records are signed and judged: ours, unless most holders agree that we are wrong. Pure.

A machine whose clock is a day off would publish what every holder refuses, and refuse what all others keep.
Holders tell their time in every answer. If we differ by more than an hour from half of at least three of
them, the median of theirs counts for records. The system's clock is never touched.

What holders said is said of our clock as it was then: where that is set, or the machine slept, all of it is
forgotten and they are heard anew.
"""

from __future__ import annotations

from statistics import median

TOLERANCE = 3600.0  # seconds
MIN_HOLDERS = 3
MAX_HOLDERS = 64  # the latest to answer count
SET_SECONDS = 60.0  # our clock and the monotonic one drift apart by less, unless somebody sets it


class RecordClock:
    """What the holders' clocks say of ours. `wall`: our own Unix seconds, `now`: monotonic ones.

    `times_set` counts how often our clock was found set; each time nobody's opinion is left.
    """

    def __init__(self) -> None:
        self.times_set = 0
        self._offsets: dict[bytes, float] = {}
        self._wall_at_zero: float | None = None  # what our clock said when the monotonic one was 0

    def observe(self, network: bytes, theirs: float, wall: float, now: float) -> None:
        """A holder's answer said what time it has. One opinion for each network, the latest."""
        self._look(wall, now)
        self._offsets.pop(network, None)
        self._offsets[network] = theirs - wall
        if len(self._offsets) > MAX_HOLDERS:
            del self._offsets[next(iter(self._offsets))]

    @property
    def opinions(self) -> int:
        """How many networks said what time they have."""
        return len(self._offsets)

    @property
    def agreed(self) -> bool:
        """Whether enough holders were heard to know what time it is, ours or theirs."""
        return self.opinions >= MIN_HOLDERS

    @property
    def offset(self) -> float:
        """Seconds to add to our time for records; 0.0 while we are near enough to most holders."""
        if not self.agreed:
            return 0.0
        offsets = self._offsets.values()
        middle = median(offsets)
        far = sum(abs(offset) > TOLERANCE for offset in offsets)
        return middle if 2 * far > len(offsets) and abs(middle) > TOLERANCE else 0.0

    @property
    def wrong(self) -> bool:
        """Whether the user should be told that this machine's clock is off."""
        return self.offset != 0.0

    def time(self, wall: float, now: float) -> float:
        """The time to use for records."""
        self._look(wall, now)
        return wall + self.offset

    def _look(self, wall: float, now: float) -> None:
        at_zero = wall - now
        if self._wall_at_zero is not None and abs(at_zero - self._wall_at_zero) > SET_SECONDS:
            self.times_set += 1
            self._offsets.clear()
        self._wall_at_zero = at_zero


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
