"""Every operation that a command can ask of a node: its name, its typed request, the story that does it.

The running node performs them for its control socket, a command without one on a node of its own.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from dhtshare.control.arguments import decode_arguments
from dhtshare.control.protocol import End, JsonObject, Request, Result
from dhtshare.errors import DhtshareError
from dhtshare.scarcity import SENTENCES, resource_refused

log = logging.getLogger(__name__)

N = TypeVar("N")
R = TypeVar("R")

Emit = Callable[[JsonObject], None]
Refused = Callable[[BaseException], bool]
Returned = JsonObject | list[JsonObject]


@dataclass(frozen=True, slots=True)
class Operation(Generic[N, R]):
    """A story over a node `N`, told by a request `R`; it emits events and returns its result object or objects."""

    request: type[R]
    story: Callable[[N, R, Emit], Awaitable[Returned]]

    async def __call__(self, node: N, arguments: JsonObject, emit: Emit) -> Returned:
        """Decode and do. Raises DhtshareError, with `result` set where there is one all the same."""
        return await self.story(node, decode_arguments(self.request, arguments), emit)


Operations = Mapping[str, Operation[N, Any]]


def is_refusal(error: BaseException) -> bool:
    """Whether the system refused memory, a thread or a descriptor."""
    return resource_refused(error) is not None


async def perform(
    operations: Operations[N], node: N, request: Request, emit: Emit, refused: Refused = is_refusal
) -> list[Result | End]:
    """Do what `request` asks and say how it ended. Raises nothing but cancellation.

    `refused` is told of every error that no story expects: it knows what the system lacks.
    This is the supervisor of one operation: a bug in a story costs the command that met it, not the node.
    """
    operation = operations.get(request.op)
    if operation is None:
        return [End(2, f"The running node does not know '{request.op[:100]}'; restart it with this version.")]
    try:
        return closing(await operation(node, request.args, emit))
    except DhtshareError as error:
        refused(error)
        return closing(cast(Returned | None, error.result), error)
    except Exception as error:  # the supervisor: see above
        if not refused(error):
            log.exception("operation %s failed", request.op)
        return [ending(error)]


def closing(returned: Returned | None, error: DhtshareError | None = None) -> list[Result | End]:
    """The last answers of an operation that returned, or failed having, these result objects."""
    objects = [] if returned is None else returned if isinstance(returned, list) else [returned]
    end = End() if error is None else ending(error)
    return [*(Result(fields) for fields in objects), end]


def ending(error: BaseException) -> End:
    """How something ended that raised `error`: with its own sentence, or as the bug that it is."""
    if isinstance(error, DhtshareError):
        return End(error.exit_code, str(error))
    if (resource := resource_refused(error)) is not None:
        return End(1, f"This was given up. {SENTENCES[resource]}")
    what = f"{type(error).__name__}: {error}"
    where = "".join(traceback.format_exception(error))
    return End(1, f"Something failed that should not ({what}). Run again with --verbose to report it.", where)
