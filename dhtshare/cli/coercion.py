"""From the text of an option to its value, without typer's own validation library.

Typer releases that coerce by pydantic import it for every command: about 130 ms of 150 that a command
through a running node may take. They keep each parameter's coercion in one attribute and ask it for
nothing but `coerce`; here is one for the few types that our options have. Other releases of typer have
no such attribute and coerce by themselves.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer

_ATTRIBUTE = "_runtime_param"
TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE = frozenset({"0", "false", "no", "off", "f", "n"})


class Quick:
    """Mixed into typer's commands: gives each parameter the coercion of its type, by its name in `hints`.

    Flags that typer adds by itself, such as --help, are in no hints.
    """

    hints: Mapping[str, Any] = {}

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            hint = self.hints.get(parameter.name, bool if getattr(parameter, "is_flag", False) else None)
            if hint is not None and getattr(parameter, _ATTRIBUTE, parameter) is None:
                setattr(parameter, _ATTRIBUTE, Coercion(hint))
        return parameters


class Coercion:
    """The text of one parameter to its type: text, number, flag, path, choice, a list of one of them, or None."""

    def __init__(self, hint: Any) -> None:
        kind = _without_none(hint)
        self._many = get_origin(kind) is list
        self._kind: type = get_args(kind)[0] if self._many else kind

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """The value, or None (an empty list) where there is none. Raises typer.BadParameter."""
        try:
            if self._many:
                return [self._one(item) for item in value or ()]
            return None if value is None else self._one(value)
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from error

    def _one(self, value: Any) -> Any:
        if isinstance(value, self._kind) and not isinstance(value, str):
            return value  # a default, already of its type
        if self._kind is bool:
            return _flag(str(value))
        if self._kind is int:
            return _number(int, str(value), "a whole number")
        if self._kind is float:
            return _number(float, str(value), "a number")
        if issubclass(self._kind, enum.Enum):
            return _choice(self._kind, str(value))
        if self._kind in (str, Path):
            return self._kind(value)
        raise TypeError(f"no coercion to {self._kind}")


def _without_none(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        [hint] = [choice for choice in get_args(hint) if choice is not type(None)]
    return hint


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in TRUE | _FALSE:
        raise ValueError(f"'{text}' is neither 1 nor 0.")
    return word in TRUE


def _number(kind: type, text: str, called: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"'{text}' is not {called}.") from None


def _choice(kind: type[enum.Enum], text: str) -> enum.Enum:
    for member in kind:
        if member.value == text.lower():
            return member
    raise ValueError(f"'{text}' is not one of {', '.join(str(member.value) for member in kind)}.")
