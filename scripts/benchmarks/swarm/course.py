"""How far a fetch was when: the curve that a measurement is read from."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field


@dataclass
class Course:
    """Points of (seconds since the start, bytes of content done), in order; between two of them a straight line."""

    points: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])

    def add(self, seconds: float, done: int) -> None:
        """One more point, later than those before."""
        if done > self.points[-1][1]:
            self.points.append((seconds, done))

    @property
    def seconds(self) -> float:
        """When the last byte was done."""
        return self.points[-1][0]

    def when(self, done: float) -> float:
        """When so many bytes were done."""
        at = bisect.bisect_left(self.points, done, key=lambda point: point[1])
        (before, fewer), (after, more) = self.points[max(0, at - 1)], self.points[at]
        return after if more == fewer else before + (after - before) * (done - fewer) / (more - fewer)

    def last_share(self, share: float) -> float:
        """The part of the whole time that the last `share` of the bytes took."""
        return 1 - self.when((1 - share) * self.points[-1][1]) / self.seconds
