"""GETs on their way, and what their answers bring: a chunk, a part of one, or a run of chunks.

Knows which bytes come next of each request, and whose they are. What becomes of them is the job's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.jobs import Job, Outcome
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, Answer, Data, Get, Reason, Refused


def ask(jobs: Sequence[Job], now: float) -> None:
    """Ask a peer for jobs that follow each other. Raises NetworkError where the connection has ended.

    Several jobs are one request; one chunk alone is asked in parts where the line is slow.
    """
    for job in jobs:
        job.begin(now)
    if len(jobs) == len(jobs[0].chunks) == 1:
        for piece in _pieces(jobs[0], jobs[0].peer.window.part):
            _Asked([piece]).send()
    else:
        _Asked([piece for job in jobs for piece in _pieces(job, MAX_PAYLOAD_BYTES)]).send()


class _Piece:
    """Bytes of a job that come in one DATA, whose length `place` has seen: there is none without a payload."""

    def __init__(self, job: Job, offset: int, length: int) -> None:
        self.job = job
        self.offset = offset
        self.length = length

    def place(self, length: int) -> memoryview | None:
        if length != self.length:
            raise RemoteProtocolError(f"The peer sends {length} bytes where {self.length} were asked for.")
        return self.job.place(self.offset, length)

    def received(self, data: Data, payload: memoryview | None) -> None:
        job = self.job
        whole = job.landed(self.length)
        job.part_came(self.length)
        if whole:
            job.employer.arrived(job)

    def digest(self, data: Data, payload: memoryview | None) -> Callable[[], None]:
        job = self.job
        if not job.landed(self.length):
            return partial(job.part_came, self.length)
        return partial(self._digested, job.employer.check(job))

    def _digested(self, outcome: Outcome) -> None:
        job = self.job
        job.part_came(self.length)
        job.employer.checked(job, outcome)


class _Asked:
    """One GET. Only whoever reads from the connection moves `_placed` and `_came`, of its pieces those that began and
    those that are here: the next one may begin in the same breath in which one ends."""

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = pieces
        self._jobs = list(dict.fromkeys(piece.job for piece in pieces))
        self._placed = self._came = 0
        self._number = 0

    def send(self) -> None:
        connection = self._jobs[0].peer.connection
        self._number = connection.ask(self._get, self)
        for job in self._jobs:
            job.asked_by(self._withdraw)

    def _get(self, request: int) -> Get:
        job, length = self._jobs[0], sum(piece.length for piece in self._pieces)
        count = sum(len(job.chunks) for job in self._jobs)
        return Get(request, job.peer.content, job.chunks[0] - job.peer.base, length, count, self._pieces[0].offset)

    def _withdraw(self) -> None:
        """A job was given up; others of the same request may still be wanted."""
        if not any(job.wanted for job in self._jobs):
            self._jobs[0].peer.connection.cancel(self._number)

    def place(self, length: int) -> memoryview | None:
        if self._placed == len(self._pieces):
            raise RemoteProtocolError("The peer sends more than it was asked for.")
        self._placed += 1
        return self._pieces[self._placed - 1].place(length)

    def data_came(self) -> tuple[_Piece, bool]:
        self._came += 1
        return self._pieces[self._came - 1], self._came == len(self._pieces)

    def answered(self, answer: Answer, payload: memoryview | None) -> None:
        if not isinstance(answer, Refused):
            raise RemoteProtocolError("The peer answers a GET with something else.")
        lacks = answer.reason in (Reason.NOT_FOUND, Reason.FAILED)
        for job in self._jobs:
            job.part_refused(lacks=lacks)

    def lost(self, error: Exception) -> None:
        for job in self._jobs:
            job.part_lost()


def _pieces(job: Job, most: int) -> list[_Piece]:
    return [_Piece(job, offset, min(most, job.length - offset)) for offset in range(0, job.length, most)]
