"""Several targets in one command: one result each, in order, and one exit code for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dhtshare.errors import DhtshareError, PartialFailureError

Emit = Callable[[dict[str, Any]], None]


def error_object(error: DhtshareError) -> dict[str, Any]:
    """The JSON shape of an error."""
    return {"code": error.exit_code, "message": str(error)}


async def one_by_one(
    targets: Sequence[str], work: Callable[[str], Awaitable[dict[str, Any]]], emit: Emit
) -> list[dict[str, Any]]:
    """The results of `work` for each target; a failed one gives {"target", "error"} and does not stop the rest.

    A single failed target raises its own error. Of several, all failed alike: that error's code with all
    results beside it; some failed: PartialFailureError (exit code 3).
    """
    results: list[dict[str, Any]] = []
    failures: list[DhtshareError] = []
    for target in targets:
        try:
            results.append(await work(target))
        except DhtshareError as error:
            if len(targets) == 1:
                raise
            failures.append(error)
            results.append(failed(target, error))
            emit({"event": "failed", **results[-1]})
    raise_for(failures, results)
    return results


def failed(target: str, error: DhtshareError) -> dict[str, Any]:
    """What stands in the place of a result that did not come."""
    return {"target": target, "error": error_object(error)}


def raise_for(failures: Sequence[DhtshareError], results: list[dict[str, Any]]) -> None:
    """Raise what `failures` among `results` amount to, the results attached; nothing when there are none."""
    if not failures:
        return
    codes = {failure.exit_code for failure in failures}
    if len(failures) == len(results) and len(codes) == 1:
        error: DhtshareError = type(failures[0])(str(failures[0]))
    else:
        error = PartialFailureError(f"{len(failures)} of {len(results)} failed; the first: {failures[0]}")
    error.result = results
    raise error
