"""Frames from a socket, received in a worker thread straight into their places.

On a fast connection the event loop would spend itself on copying, so it lends the socket. A thread takes what
is there, waits for more no longer than a fast line needs, and gives the socket on when frames are whole and no more is
here, or enough: so a stalled peer holds no thread, and one thread receives while another hashes and writes. Where all
threads have something to do, it takes some frames more before it works on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dhtshare.errors import NetworkError, RemoteProtocolError
from dhtshare.transfer.codec import Frame, FrameReader
from dhtshare.transfer.lines import Line

PATIENCE_SECONDS = 0.001
"""How long a thread waits for more, of which it is told from 128 KiB on: 128 MB a second. Slower lines are waited for
by the loop."""

LEAST_TURN_BYTES = 2 << 20
"""So much of what is here is taken before the line is given on: 5 % faster over loopback than a turn for each MiB."""

TURN_BYTES = 4 << 20
"""A turn takes no more, however busy the threads are. Four seeds at once gave 8 % less with a turn for each MiB."""


@dataclass(slots=True)
class Taken:
    """What one turn brought: bytes, whole frames, and whether the line still flows. `error`: it must end."""

    count: int = 0
    frames: list[Frame] = field(default_factory=list)
    flows: bool = True
    error: RemoteProtocolError | NetworkError | None = None


def receive(line: Line, reader: FrameReader, unwanted: Callable[[], bool], busy: Callable[[], bool]) -> Taken:
    """Receive until frames are whole and LEAST_TURN_BYTES came, or TURN_BYTES while the threads are `busy`; until
    nothing more comes, or it is `unwanted`.

    The end or an error of the connection is left for the loop to find.
    """
    taken = Taken()
    try:
        while not unwanted():
            if taken.frames and taken.count >= LEAST_TURN_BYTES and (taken.count >= TURN_BYTES or not busy()):
                break
            rest = reader.rest_of_payload()
            try:
                count = line.receive(rest or (reader.get_buffer(),))
            except BlockingIOError:
                if taken.frames:
                    break
                if not line.wait_for_bytes(PATIENCE_SECONDS):
                    taken.flows = False
                    break
                continue
            if not count:
                taken.flows = False
                break
            taken.count += count
            if rest:
                of_payload = min(count, len(rest[0]))
                taken.frames += reader.advance(of_payload)
                count -= of_payload
            if count:
                taken.frames += reader.advance(count)
    except OSError:
        taken.flows = False
    except RemoteProtocolError as error:
        taken.error, taken.flows = error, False
    except MemoryError as error:  # no place for what comes: this line cannot go on, others may
        taken.error, taken.flows = NetworkError("There is no memory for what a peer sends."), False
        taken.error.__cause__ = error
    return taken
