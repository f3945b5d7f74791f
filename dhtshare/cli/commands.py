"""The table of commands, each loaded when it is called for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any

import typer
import typer.core
import typer.main

from dhtshare.cli.coercion import Quick
from dhtshare.cli.groups import callback, flattened
from dhtshare.cli.verbs import Verbs

#: Name → module and function (or table of functions), in the order of `dhtshare --help`.
COMMANDS = {
    "node": "dhtshare.cli.node:node",
    "publish": "dhtshare.cli.publish:publish",
    "search": "dhtshare.cli.search:search",
    "fetch": "dhtshare.cli.fetch:fetch",
    "info": "dhtshare.cli.info:info",
    "list": "dhtshare.cli.library:list_items",
    "status": "dhtshare.cli.status:status",
    "peers": "dhtshare.cli.peers:peers",
    "unpublish": "dhtshare.cli.publish:unpublish",
    "verify": "dhtshare.cli.library:verify",
    "limit": "dhtshare.cli.running:limit",
    "stop": "dhtshare.cli.running:stop",
    "dht": "dhtshare.cli.dht:GROUP",
    "lab": "dhtshare.cli.lab:lab",
    "demo": "dhtshare.cli.demo:demo",
}


class QuickCommand(Quick, typer.core.TyperCommand):
    """One command."""


class QuickGroup(Quick, typer.core.TyperGroup):
    """A command that has commands of its own."""


class LazyGroup(QuickGroup):
    """The commands of COMMANDS; running one of them loads none of the others."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, COMMANDS)
        return ctx.fail(f"There is no command '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""))


def program(name: str, help: str, epilog: str) -> Any:
    """The whole command line as typer runs it."""
    root = callback(help, outermost=True)
    app = typer.Typer(cls=LazyGroup, name=name, epilog=epilog)
    app.callback()(root)
    return _with_hints(typer.main.get_command(app), root)


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, Verbs):
        return _command(name, found)
    between = callback(found.help, outermost=False)
    app = typer.Typer(cls=QuickGroup, name=name, add_completion=False)
    app.callback()(between)
    group = _with_hints(typer.main.get_command(app), between)
    for verb, function in found.verbs.items():
        group.add_command(_command(verb, function), verb)
    return group


def _command(name: str, function: Callable[..., int]) -> Any:
    flat = flattened(function)
    app = typer.Typer(add_completion=False)
    app.command(name, cls=QuickCommand)(flat)
    return _with_hints(typer.main.get_command(app), flat)


def _with_hints(command: Any, function: Callable[..., Any]) -> Any:
    command.hints = function.__annotations__
    return command
