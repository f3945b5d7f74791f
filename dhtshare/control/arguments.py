"""From the JSON arguments of a control request to the typed request of an operation.

Pure. Whatever stands on the line, the outcome is a well-typed request or a UsageError.
"""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dhtshare.errors import UsageError

R = TypeVar("R")


def decode_arguments(kind: type[R], arguments: dict[str, Any]) -> R:
    """A `kind` (a dataclass) from its fields by name; fields with a default may be missing. Raises UsageError.

    A field unknown here was sent by a newer program and may change what is asked: it is refused, not
    ignored.
    """
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no dataclass")
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := arguments.keys() - fields.keys():
        raise UsageError(f"The running node does not know {_listed(unknown)}; restart it with this version.")
    missing = {name for name, field in fields.items() if name not in arguments and _is_required(field)}
    if missing:
        raise UsageError(f"The request lacks {_listed(missing)}.")
    return kind(**{name: _value(name, hints[name], value) for name, value in arguments.items()})


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _listed(names: set[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


def _value(name: str, hint: Any, value: object) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for choice in get_args(hint):
            if _fits(choice, value):
                return _value(name, choice, value)
    elif origin is tuple and isinstance(value, list):
        return tuple(_value(name, get_args(hint)[0], item) for item in value)
    elif origin is list and isinstance(value, list):
        return [_value(name, get_args(hint)[0], item) for item in value]
    elif _fits(hint, value):
        return value
    raise UsageError(f"'{name}' is not what it should be: {str(value)[:100]!r}.")


def _fits(hint: Any, value: object) -> bool:
    if hint is None or hint is type(None):
        return value is None
    if get_origin(hint) in (list, tuple):
        return isinstance(value, list)
    if hint is float:
        # JSON's 1 is a fine 1.0, and Python's json reads NaN and Infinity too.
        return (isinstance(value, float) and math.isfinite(value)) or _is_count(value)
    if hint is int:
        return _is_count(value)
    return isinstance(hint, type) and isinstance(value, hint)


def _is_count(value: object) -> bool:
    # True is an int to Python; and no size, port or rate needs more than 63 bits.
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
