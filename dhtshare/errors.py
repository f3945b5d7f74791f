"""Every error a user can meet, each with its exit code. One tree, one mapping.

An error says whose fault it is by its class, and by its sentence what happened, why, and what to do
next. Codes: 0 done, 1 failed, 2 bad usage or configuration, 3 some of several failed, 4 not found,
5 network or timeout, 6 data did not match its hash, 7 disk, 8 announced below quorum, 10 no running
node where one is needed, 11 already running, 130 interrupted.
"""

from __future__ import annotations


class DhtshareError(Exception):
    """Base of all errors shown to a user: a sentence, an exit code, and the result where there is one all the same."""

    exit_code = 1
    result: object | None = None  #: what is printed beside the error: a receipt below quorum, an empty search


class UsageError(DhtshareError):
    """The user asked for something that cannot be: bad option, malformed hash, missing path."""

    exit_code = 2


class PartialFailureError(DhtshareError):
    """Some of several targets or paths failed."""

    exit_code = 3


class NotFoundError(DhtshareError):
    """No hit, no provider, no file of that pattern."""

    exit_code = 4


class NetworkError(DhtshareError):
    """Nobody answered, or nothing moved within the time allowed."""

    exit_code = 5


class IntegrityError(DhtshareError):
    """Data did not match its hash, or a peer was not who it had to be."""

    exit_code = 6


class DiskError(DhtshareError):
    """The disk refused: unreadable, not writable, full."""

    exit_code = 7


class QuorumError(DhtshareError):
    """Records were announced to fewer holders than the quorum."""

    exit_code = 8


class NotRunningError(DhtshareError):
    """The command needs a running node and there is none."""

    exit_code = 10


class AlreadyRunningError(DhtshareError):
    """Another node runs in this home."""

    exit_code = 11


class InterruptedByUserError(DhtshareError):
    """Ctrl-C cut the work off; what was verified stays."""

    exit_code = 130


class MalformedError(DhtshareError):
    """Bytes or text from outside that are not what they claim to be (descriptor, link, record, frame).

    Decoders raise it and nothing else. At the edge of the network it becomes a counter; where a user
    typed the text, its sentence is shown with exit code 2.
    """

    exit_code = 2


class RemoteProtocolError(MalformedError):
    """A peer broke the protocol. Closes the connection and counts; never a traceback."""


class LocalProtocolError(Exception):
    """Our own code broke the protocol: a bug, never shown as a user's or a peer's fault."""


_BY_CODE: dict[int, type[DhtshareError]] = {
    kind.exit_code: kind
    for kind in (
        UsageError,
        PartialFailureError,
        NotFoundError,
        NetworkError,
        IntegrityError,
        DiskError,
        QuorumError,
        NotRunningError,
        AlreadyRunningError,
        InterruptedByUserError,
    )
}


def from_code(code: int, message: str) -> DhtshareError:
    """The error that has this exit code, for errors that crossed the control socket."""
    return _BY_CODE.get(code, DhtshareError)(message)
