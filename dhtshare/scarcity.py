"""What the system refuses a process that has used up its share: descriptors, memory, threads.

Tells such a refusal from every other error, and when to say so. Logs nothing and waits for nothing itself.
"""

from __future__ import annotations

import errno
from enum import Enum

SAY_AGAIN_SECONDS = 60.0  # a log grows by a line a minute at most
RECENT_SECONDS = 600.0  # so long `status` warns after the last refusal


class Resource(Enum):
    """What was refused, by the name that `status` gives it."""

    DESCRIPTORS = "descriptors"
    MEMORY = "memory"
    THREADS = "threads"


SENTENCES = {
    Resource.DESCRIPTORS: (
        "No file descriptor is free: new connections wait, and peers may be sent away. Raise it with: ulimit -n"
    ),
    Resource.MEMORY: (
        "The system refuses memory: what needed it was given up, and the node goes on with less. "
        "End other programs, or raise it with: ulimit -v"
    ),
    Resource.THREADS: (
        "The system refuses a thread: work waits for those that there are. Raise it with: ulimit -u or ulimit -v"
    ),
}
_BY_NUMBER = {
    errno.EMFILE: Resource.DESCRIPTORS,
    errno.ENFILE: Resource.DESCRIPTORS,
    errno.ENOMEM: Resource.MEMORY,
    errno.ENOBUFS: Resource.MEMORY,
}
_NO_THREAD = "can't start new thread"  # what Python says; the error has no type of its own


def resource_refused(error: BaseException | None) -> Resource | None:
    """The resource whose lack raised this, also where another error was made of it; None for any other error.

    Of several errors in a group all have to be refusals.
    """
    if isinstance(error, BaseExceptionGroup):
        refused = [resource_refused(one) for one in error.exceptions]
        return refused[0] if all(refused) else None
    if isinstance(error, MemoryError):
        return Resource.MEMORY
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        return Resource.THREADS
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        return _BY_NUMBER[error.errno]
    return resource_refused(error.__cause__) if error is not None else None


class Scarcity:
    """Counts refusals. Invariant: a resource's sentence is given out once in SAY_AGAIN_SECONDS at most."""

    def __init__(self) -> None:
        self.refused = dict.fromkeys(Resource, 0)
        self._said: dict[Resource, float] = {}
        self._last: dict[Resource, float] = {}

    def met(self, resource: Resource, now: float) -> str | None:
        """It was refused at `now` (seconds, monotonic): the sentence to say, or None where it was said just before."""
        self.refused[resource] += 1
        self._last[resource] = now
        if now - self._said.get(resource, -SAY_AGAIN_SECONDS) < SAY_AGAIN_SECONDS:
            return None
        self._said[resource] = now
        return SENTENCES[resource]

    def warnings(self, now: float) -> list[str]:
        """What is, or was not long ago, too scarce."""
        return [SENTENCES[resource] for resource, at in self._last.items() if now - at < RECENT_SECONDS]
