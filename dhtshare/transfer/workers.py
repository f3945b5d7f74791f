"""Threads for what blocks or burns: hashing, disk, sendfile. Results come back to the event loop in batches.

Cheaper than an executor where thousands of chunks a second pass: no future a job, and one wake-up of the loop for
all that finished meanwhile.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

POSTED_TOGETHER = 3

Result = TypeVar("Result")
Job = Callable[[], object]
Then = Callable[[object, BaseException | None], None]


class Workers:
    """`count` threads, or as many as the system gives, started with the first job.

    `stop` ends them after what they are doing.
    """

    def __init__(self, name: str, count: int, refused: Callable[[BaseException], bool] = lambda _: False) -> None:
        """`refused` is told of a thread that the system does not give."""
        self._name = name
        self._count = count
        self._refused = refused
        self._jobs: queue.SimpleQueue[tuple[Job, Then | None] | None] = queue.SimpleQueue()
        self._finished: deque[Callable[[], object]] = deque()
        self._woken = False
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, job: Job, then: Then) -> None:
        """Run `job` in a thread, then `then(result, error)` on the loop that called this: its error, or that of a
        system which gives no thread at all.
        """
        try:
            self._start()
        except (RuntimeError, MemoryError) as error:
            asyncio.get_running_loop().call_soon(then, None, error)
            return
        self._jobs.put((job, then))

    def hand_on(self, job: Job) -> None:
        """Run `job` in a thread; it says by `post` what the loop has to know. May be called by a job."""
        if not self._threads:
            self._start()
        self._jobs.put((job, None))

    def post(self, call: Callable[[], object], *, soon: Callable[[], bool] | None = None) -> None:
        """Called by a job: have the loop call this. Calls come in the order in which they were posted.

        Waking the loop costs as much as what it is woken for, so a few calls may wait together: while `soon` says,
        asked after the call was queued, that another post is certain to come.
        """
        self._finished.append(call)
        if soon is not None and len(self._finished) < POSTED_TOGETHER and soon():
            return
        # Appended first, looked at afterwards: `_deliver` does the reverse, so nothing is left lying.
        loop = self._loop
        if not self._woken and loop is not None and not loop.is_closed():
            self._woken = True
            loop.call_soon_threadsafe(self._deliver)

    def busy(self) -> bool:
        """Whether a job waits for a thread. In any thread."""
        return not self._jobs.empty()

    async def call(self, job: Callable[[], Result]) -> Result:
        """Run `job` in a thread and return its result or raise its error. Cancelling does not stop the job."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def then(result: object, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        self.submit(job, then)
        return await future

    async def finish(self, job: Callable[[], Result]) -> Result:
        """Like `call`, but when cancelled waits for the job before it lets the cancellation through.

        For jobs that use something their caller is about to close.
        """
        done = asyncio.get_running_loop().create_future()
        outcome: list[tuple[object, BaseException | None]] = []

        def then(result: object, error: BaseException | None) -> None:
            outcome.append((result, error))
            if not done.done():
                done.set_result(None)

        self.submit(job, then)
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            while not outcome:
                await asyncio.wait([done])
            raise
        result, error = outcome[0]
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def stop(self) -> None:
        """End the threads, wait for them, and give back the results of what they were still doing."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._loop = None
        self._deliver()

    def _start(self) -> None:
        if self._threads:
            return
        self._loop = asyncio.get_running_loop()
        for number in range(self._count):
            thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                self._refused(error)
                if not self._threads:
                    raise
                return  # fewer do the same work
            self._threads.append(thread)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, then = item
            try:
                result, error = job(), None
            except BaseException as problem:  # raised again where the result is used
                result, error = None, problem
            if then is not None:
                self.post(partial(then, result, error))
            elif error is not None:
                self.post(partial(_raise, error))

    def _deliver(self) -> None:
        self._woken = False
        try:
            while self._finished:
                self._finished.popleft()()
        finally:
            if (
                self._finished and self._loop is not None
            ):  # one failed, and the loop tells of it: the others have their turn
                self._woken = True
                self._loop.call_soon(self._deliver)


def _raise(error: BaseException) -> None:
    """A bug in a job nobody waits for: the loop tells of it."""
    raise error
