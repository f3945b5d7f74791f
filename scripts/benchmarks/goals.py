"""A figure beside what it has to reach, as every benchmark prints it: `{"seen": …, "goal": …, "met": …}`."""

from __future__ import annotations

from typing import Any


def at_least(seen: float | None, least: float) -> dict[str, Any]:
    """A figure that must not be below its goal; None, where nothing could be measured, misses it."""
    return {"seen": seen, "goal": least, "met": seen is not None and seen >= least}


def at_most(seen: float | None, most: float) -> dict[str, Any]:
    """A figure that must not be above its goal; None, where nothing could be measured, misses it."""
    return {"seen": seen, "goal": most, "met": seen is not None and seen <= most}


def missed(result: object, name: str = "") -> list[str]:
    """The dotted names of all goals in a benchmark's result that were not met."""
    if isinstance(result, dict):
        if result.get("met") is False:
            return [name]
        return [one for key, value in result.items() for one in missed(value, f"{name}.{key}" if name else str(key))]
    if isinstance(result, list):
        return [one for number, value in enumerate(result) for one in missed(value, f"{name}.{number}")]
    return []
