"""The program: parses the command line, runs one command, turns whatever happens into an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from dhtshare.cli.coercion import TRUE
from dhtshare.cli.commands import program
from dhtshare.cli.options import variable
from dhtshare.cli.printer import JsonPrinter, complain
from dhtshare.control.protocol import End

PROGRAM = "dhtshare"
DISK = 7
INTERRUPTED = 130
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
HELP = "Share files without a server: search by name, fetch from everyone at once, verified."
EPILOG = "Every option is an environment variable, too: --max-upload is DHTSHARE_MAX_UPLOAD; flags are 1 or 0."

# What typer raises on a bad command line. Its home differs between releases of typer, its place above
# BadParameter does not.
_REFUSAL: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> NoReturn:
    """Run with the arguments of this process, and exit."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks, or that is no text at all, is shown escaped.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _say(End(INTERRUPTED, "Interrupted."), sys.argv[1:])
    except BrokenPipeError:
        # Whoever read us has seen enough, as in `dhtshare list | head`; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        code = _say(_ending(error), sys.argv[1:]) if error.errno not in _FULL else _refused_output(error)
    except Exception as error:  # the last supervisor: a user meets a sentence, not a traceback
        code = _say(_ending(error), sys.argv[1:])
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Of the standard streams (`>&-`): else the first file opened would take its number, and its output."""
    for name, flags, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:  # in the order of their numbers: each gets its own
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, closefd=False))


def _refused_output(error: OSError) -> int:
    """The disk to which standard output goes is full: say so where it can be said, and leave the rest unwritten."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    where = "Free some space, or send the output elsewhere."
    complain(End(DISK, f"The output cannot be written: {error.strerror}. {where}"), verbose=False)
    return DISK


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives its exit code. Raises KeyboardInterrupt and BrokenPipeError."""
    command_line, context = list(arguments) or ["--help"], {"json": wants(arguments, "--json")}
    try:
        code = program(PROGRAM, HELP, EPILOG).main(command_line, PROGRAM, standalone_mode=False, obj=context)
    except _REFUSAL as error:
        return _refuse(error, arguments)
    except typer.Abort as error:  # how typer passes on the end of its input
        raise KeyboardInterrupt from error
    return code if isinstance(code, int) else 0


def wants(arguments: Sequence[str], *names: str) -> bool:
    """Whether a flag holds, on a command line that may be too wrong to be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    set_in_environment = os.environ.get(variable(names[0]), "").lower() in TRUE
    return set_in_environment or not set(names).isdisjoint(options)


def _refuse(error: Any, arguments: Sequence[str]) -> int:
    """Say what is wrong with the command line, and where to read about it."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else PROGRAM
    message = error.format_message().strip()
    stop = "" if message.endswith((".", "?", "!")) else "."
    file = _file_like_an_option(arguments)
    advice = f"If {file} is meant as a file: {path} -- {file}" if file else f"See: {path} --help"
    return _say(End(int(error.exit_code), f"{message}{stop} {advice}"), arguments)


def _file_like_an_option(arguments: Sequence[str]) -> str | None:
    """A word that was taken for options and is the name of a file here, as a shell's `*` gives it."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return next((word for word in options if word.startswith("-") and os.path.lexists(word)), None)


def _ending(error: Exception) -> End:
    from dhtshare.control.operations import ending  # late: nothing else here needs it

    return ending(error)


def _say(end: End, arguments: Sequence[str]) -> int:
    """Show how it ended where no command got to do so; gives the exit code."""
    verbose = wants(arguments, "--verbose", "-v")
    if wants(arguments, "--json"):
        return JsonPrinter(quiet=False, verbose=verbose).end(end)
    complain(end, verbose=verbose)
    return end.code
