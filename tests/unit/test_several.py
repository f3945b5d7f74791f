"""Several targets, one exit code."""

from typing import Any

import pytest

from dhtshare.errors import DhtshareError, NotFoundError, PartialFailureError, UsageError
from dhtshare.several import one_by_one

ERRORS: dict[str, DhtshareError] = {"lost": NotFoundError("no provider"), "bad": UsageError("malformed")}


async def work(target: str) -> dict[str, Any]:
    if target in ERRORS:
        raise ERRORS[target]
    return {"hash": target}


def ignore(_: dict[str, Any]) -> None:
    pass


async def test_results_stand_in_order() -> None:
    assert await one_by_one(["a", "b"], work, ignore) == [{"hash": "a"}, {"hash": "b"}]


async def test_a_single_failure_is_its_own_error() -> None:
    with pytest.raises(NotFoundError) as caught:
        await one_by_one(["lost"], work, ignore)
    assert caught.value.result is None


async def test_some_failed_is_code_3_with_all_results() -> None:
    with pytest.raises(PartialFailureError, match="1 of 2 failed") as caught:
        await one_by_one(["lost", "a"], work, ignore)
    assert caught.value.exit_code == 3
    failed = {"target": "lost", "error": {"code": 4, "message": "no provider"}}
    assert caught.value.result == [failed, {"hash": "a"}]


async def test_all_failed_alike_keeps_the_code() -> None:
    with pytest.raises(NotFoundError) as caught:
        await one_by_one(["lost", "lost"], work, ignore)
    assert len(caught.value.result) == 2


async def test_all_failed_differently_is_code_3() -> None:
    with pytest.raises(PartialFailureError):
        await one_by_one(["lost", "bad"], work, ignore)


async def test_each_failure_is_told_at_once() -> None:
    told: list[dict[str, Any]] = []
    with pytest.raises(PartialFailureError):
        await one_by_one(["lost", "a"], work, told.append)
    assert told == [{"event": "failed", "target": "lost", "error": {"code": 4, "message": "no provider"}}]
