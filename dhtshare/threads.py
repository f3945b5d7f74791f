"""A thread pool that makes do with fewer threads, where the system gives no more.

The standard one raises "can't start new thread" after it has queued the work, and a thread that there is does it
later, when whoever asked for it has given up: a file was then opened and locked for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from dhtshare.scarcity import Resource, resource_refused

P = ParamSpec("P")
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """Invariant: work is done if and only if `submit` returned its future, and that was not cancelled."""

    def __init__(self, count: int, name: str, refused: Callable[[BaseException], object] = lambda _: None) -> None:
        """`refused` is told of a thread that the system does not give, where the others do its work."""
        super().__init__(count, thread_name_prefix=name)
        self._refused = refused
        self._works = threading.Event()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread do `fn(*args, **kwargs)`. Raises RuntimeError, MemoryError where there is no thread at all."""
        future: Future[T] = Future()
        try:
            super().submit(self._do, [future], partial(fn, *args, **kwargs))
        except (RuntimeError, MemoryError) as error:
            # Without a thread for it, it is queued all the same. Without memory it may be.
            queued = resource_refused(error) is Resource.THREADS and self._works.is_set()
            if not queued and future.cancel():
                raise
            self._refused(error)
        return future

    def _do(self, futures: list[Future[T]], call: Callable[[], T]) -> None:
        self._works.set()  # a thread stays until the shutdown
        future = futures.pop()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # raised again where the result is used
            future.set_exception(error)
        else:
            future.set_result(result)
        del future  # it holds the error, whose traceback holds this frame and the one that called it
