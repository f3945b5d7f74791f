"""The program: parses the command line, runs one command, turns whatever happens into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from dhtshare.cli.commands import program
from dhtshare.cli.options import variable
from dhtshare.cli.printer import JsonPrinter, complain
from dhtshare.control.protocol import End

PROGRAM = "dhtshare"
INTERRUPTED = 130
HELP = "Share files without a server: search by name, fetch from everyone at once, verified."
EPILOG = "Every option is an environment variable, too: --max-upload is DHTSHARE_MAX_UPLOAD; flags are 1 or 0."

# What typer raises on a bad command line. Its home differs between releases of typer, its place above
# BadParameter does not.
_REFUSAL: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> NoReturn:
    """Run with the arguments of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks, or that is no text at all, is shown escaped.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _say(End(INTERRUPTED, "Interrupted."), json=wants_json(sys.argv[1:]))
    except BrokenPipeError:
        # Whoever read us has seen enough, as in `dhtshare list | head`; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives its exit code. Raises KeyboardInterrupt and BrokenPipeError."""
    json = wants_json(arguments)
    command_line = list(arguments) or ["--help"]
    try:
        code = program(PROGRAM, HELP, EPILOG).main(command_line, PROGRAM, standalone_mode=False, obj={"json": json})
    except _REFUSAL as error:
        return _refuse(error, json=json)
    except typer.Abort as error:  # how typer passes on the end of its input
        raise KeyboardInterrupt from error
    return code if isinstance(code, int) else 0


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` holds, on a command line that may be too wrong to be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options or os.environ.get(variable("--json"), "").lower() in ("1", "true", "yes", "on", "t", "y")


def _refuse(error: Any, *, json: bool) -> int:
    """Say what is wrong with the command line, and where to read about it."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else PROGRAM
    message = error.format_message().strip()
    stop = "" if message.endswith((".", "?", "!")) else "."
    return _say(End(int(error.exit_code), f"{message}{stop} See: {path} --help"), json=json)


def _say(end: End, *, json: bool) -> int:
    """Show how it ended where no command got to do so; gives the exit code."""
    if json:
        return JsonPrinter(quiet=False, verbose=False).end(end)
    complain(end, verbose=False)
    return end.code
