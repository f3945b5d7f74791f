"""How many bytes to have requested of one peer at a time: what its line holds, rate × delay.

Pure. The rate is the best seen lately, the delay the shortest between a request and its first byte: the
model of BBR (Cardwell et al., ACM Queue 14(5), 2016), at the level of requests. A fixed deep queue made swarms
slower: what stands in a slow peer's queue is missing elsewhere.
"""

from __future__ import annotations

import math

from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, MAX_RUN_BYTES

LEAST_PART = 128 << 10
FIRST_PART = 256 << 10
PART_SECONDS = 0.1
"""How long one answer may take: what is small, in both directions, waits so long for what is long before it."""

RUN_SECONDS = 0.02
"""And how long a run of chunks, of which a peer that chokes sends the rest all the same."""

SPARE_SECONDS = 0.005
"""Above rate × delay: what the scheduling of threads on both sides may eat."""

START_GAIN = 3
"""Chunks more for each right one while the rate is unknown: as TCP's slow start, but faster, because a peer whose first
chunk took no FIRST_SECONDS makes 15 MB/s."""

BATCH_RATE = 100e6
BATCH_SECONDS = 0.005
MOST_BATCH = 4 << 20
"""What a seed does for one request costs it as much as sending a chunk, so on a fast line some go out together."""

GAIN = 2.0
"""Over rate × delay, so that a rate limited by the window shows itself by growing."""

MOST_BYTES = 32 << 20
SAMPLE_SECONDS = 0.2
FIRST_SECONDS = 0.05
LEAST_SECONDS = 0.02
"""What came in less may have waited in a buffer of ours, and says nothing about the line."""

REMEMBER_SECONDS = 10.0


class Window:
    """One peer's. `chunk` is the usual length of a request.

    Invariant: one chunk until the first verified one; afterwards a chunk and a part, to MOST_BYTES.
    """

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk
        self._right = 0
        self._began_fast = False
        self._delay = math.inf
        self._rates: list[tuple[float, float]] = []
        self.rate = 0.0
        """Bytes a second, best of lately; 0 while unknown."""
        self._sample_from = self._counted_at = -math.inf
        self._sample_bytes = 0

    def verified(self) -> None:
        """A request's chunks were right."""
        self._right += 1

    @property
    def proven(self) -> bool:
        """Whether any chunk of this peer was right."""
        return self._right > 0

    def answered(self, delay: float) -> None:
        """The first byte of an answer came `delay` seconds after its request.

        The least ever counts, which is that of the first request or less: what stands in a queue waits longer, and
        a window that believed its own queue would grow without end.
        """
        self._delay = min(self._delay, delay)

    def received(self, count: int, now: float) -> None:
        """`count` bytes came in."""
        if self._sample_from == -math.inf:
            self._sample_from = self._counted_at = now  # these bytes were on their way before: they measure nothing
            return
        self._counted_at = now
        self._sample_bytes += count
        elapsed = now - self._sample_from
        if elapsed >= SAMPLE_SECONDS or (elapsed >= LEAST_SECONDS and self._sample_bytes >= 2 * self._chunk):
            self._note(self._sample_bytes / elapsed, now)
            self._sample_from, self._sample_bytes = now, 0

    def idle(self) -> None:
        """Nothing is requested any more: the pause to come says nothing about the rate."""
        if not self.rate:
            elapsed = self._counted_at - self._sample_from  # of the first chunk
            if elapsed >= FIRST_SECONDS:
                self._note(self._sample_bytes / elapsed, self._counted_at)
            elif self._sample_bytes * PART_SECONDS >= MAX_PAYLOAD_BYTES * FIRST_SECONDS:
                self._began_fast = True
        self._sample_from, self._sample_bytes = -math.inf, 0

    @property
    def delay(self) -> float:
        """Seconds to the first byte at best; 0 while unknown."""
        return self._delay if self._delay < math.inf else 0.0

    @property
    def size(self) -> int:
        """Bytes that may be requested at once."""
        if not self.proven:
            return self._chunk
        if self.rate:
            wanted = GAIN * self.rate * self.delay + SPARE_SECONDS * self.rate
        else:
            wanted = (1 + START_GAIN * self._right) * self._chunk
        return int(min(MOST_BYTES, max(self._chunk + self.part, wanted)))

    @property
    def part(self) -> int:
        """Bytes to ask for at once of a chunk: a power of two, smaller on a slow line."""
        if not self.rate:
            return MAX_PAYLOAD_BYTES if self._began_fast else FIRST_PART
        wanted = int(self.rate * PART_SECONDS) | 1
        return max(LEAST_PART, min(MAX_PAYLOAD_BYTES, 1 << (wanted.bit_length() - 1)))

    @property
    def run(self) -> int:
        """Bytes to ask for at once of chunks that follow each other: more than `part` only on a very fast line."""
        return min(MAX_RUN_BYTES, int(self.rate * RUN_SECONDS))

    @property
    def batch(self) -> int:
        """Bytes that there must be room for before more is asked, so that requests go out together.

        Only what the line carries in a moment: half a window, refilled at once, left a long line idle half of the time.
        """
        return int(min(MOST_BATCH, self.rate * BATCH_SECONDS, self.size / 4)) if self.rate >= BATCH_RATE else 0

    def expected(self, queued: int) -> float:
        """Seconds until `queued` bytes, all those requested, would have come; infinity while unknown."""
        return self.delay + queued / self.rate if self.rate else math.inf

    def _note(self, rate: float, now: float) -> None:
        """Keep the best of the last REMEMBER_SECONDS in front (a monotonic queue)."""
        while self._rates and self._rates[-1][1] <= rate:
            self._rates.pop()
        self._rates.append((now, rate))
        while now - self._rates[0][0] > REMEMBER_SECONDS:
            self._rates.pop(0)
        self.rate = self._rates[0][1]
