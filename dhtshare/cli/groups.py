"""How a command's function becomes options: groups of options are spread out, global ones taken everywhere.

A command is a plain function. A parameter of it that is a dataclass is replaced by that dataclass's
fields; its parameter `session` by the global options, given before or after the command's name.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_type_hints

import typer

from dhtshare.cli.options import GlobalOptions
from dhtshare.cli.session import Session
from dhtshare.errors import DhtshareError

Command = Callable[..., int]

_BEFORE = "options given before the command"  # their place in the context's object
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def callback(help: str, *, outermost: bool) -> Callable[..., None]:
    """What typer calls before the command of a group: keeps the global options given so far.

    Only the outermost reads the environment, which stands behind all that was typed.
    """

    def keep(ctx: typer.Context, **values: Any) -> None:
        ctx.obj[_BEFORE] = _take(GlobalOptions, values).under(ctx.obj.get(_BEFORE, GlobalOptions()))

    keep.__doc__ = help
    everywhere = _spread(GlobalOptions)
    return _signed(keep, list(everywhere if outermost else map(_without_variable, everywhere)))


def flattened(function: Command) -> Command:
    """`function` as typer takes it; a DhtshareError that it raises is shown and becomes the exit code."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            groups[name] = hints[name]
        elif hints[name] is not Session:
            parameters.append(parameter.replace(kind=_KEYWORD, annotation=hints[name]))
    for group in groups.values():
        parameters += _spread(group)
    parameters += map(_without_variable, _spread(GlobalOptions))

    def invoke(ctx: typer.Context, **values: Any) -> int:
        session = Session(_take(GlobalOptions, values).under(ctx.obj[_BEFORE]))
        chosen = {name: _take(group, values) for name, group in groups.items()}
        try:
            return function(session=session, **chosen, **values)
        except DhtshareError as error:
            return session.fail(error)

    invoke.__doc__ = function.__doc__
    return _signed(invoke, parameters)


def _signed(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    everything = [inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context), *parameters]
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in everything}
    function.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    return function


def _spread(group: type) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        yield inspect.Parameter(field.name, _KEYWORD, default=default, annotation=hints[field.name])


def _take(group: type, values: dict[str, Any]) -> Any:
    return group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})


def _without_variable(parameter: inspect.Parameter) -> inspect.Parameter:
    """Read here, the environment would stand over what was typed before the command."""
    kind, info = parameter.annotation.__origin__, copy.copy(parameter.annotation.__metadata__[0])
    info.envvar = None
    return parameter.replace(annotation=Annotated[kind, info])
