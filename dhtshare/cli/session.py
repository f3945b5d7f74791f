"""One command on its way: finds the running node of the home and asks it, or does the work here.

Everything heavy is imported where it is needed: a command that only asks a running node stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhtshare.cli.blocks import View
from dhtshare.cli.options import GlobalOptions, JoinOptions
from dhtshare.cli.printer import JsonPrinter, Printer, complain
from dhtshare.control.protocol import Answer, End, Event, Request, Result
from dhtshare.errors import AlreadyRunningError, DhtshareError, NotRunningError

if TYPE_CHECKING:
    from dhtshare.control.client import Client
    from dhtshare.library.home import Home

STARTING_SECONDS = 12.0  # within which a node that holds the home's lock listens, or has failed


class Session:
    """The global options of a command, and what follows from them."""

    def __init__(self, options: GlobalOptions) -> None:
        self.options = options
        self._home: Home | None = None
        self._printer: Printer | None = None

    @property
    def home(self) -> Home:
        """The home of --home or DHTSHARE_HOME, else the platform's."""
        if self._home is None:
            from dhtshare.library.home import Home

            self._home = Home(self.options.home or _default_home())
        return self._home

    def printer(self, view: View, *, kept_when_quiet: Sequence[str] = ()) -> Printer:
        """What the answers go to. `kept_when_quiet` names the events that stand in for a result."""
        if self._printer is None:
            quiet, verbose = self.options.quiet, self.options.verbose
            if self.options.json:
                self._printer = JsonPrinter(quiet=quiet, verbose=verbose, kept_when_quiet=kept_when_quiet)
            else:
                from dhtshare.cli.text import TextPrinter

                self._printer = TextPrinter(view, quiet=quiet, verbose=verbose)
        return self._printer

    def fail(self, error: DhtshareError) -> int:
        """Show an error that ended the command; gives the exit code."""
        end = End(error.exit_code, str(error))
        if self._printer is not None:
            return self._printer.end(end)
        if self.options.json:
            return JsonPrinter(quiet=self.options.quiet, verbose=self.options.verbose).end(end)
        complain(end, verbose=self.options.verbose)
        return end.code

    def request(self, op: str, args: dict[str, Any]) -> Request:
        """`args` without what was not given: the node's own defaults hold there."""
        given = {name: value for name, value in args.items() if value is not None}
        return Request(op, given, self.options.network)

    def ask_running(self, op: str, args: dict[str, Any], view: View) -> int:
        """Ask the running node. Raises NotRunningError where there is none."""
        client = self.connect()
        if client is None:
            raise NotRunningError(f"No node runs in {self.home.path}. Start one with `dhtshare node`.")
        return self._through(client, self.request(op, args), self.printer(view))

    def ask(self, op: str, args: dict[str, Any], view: View, join: JoinOptions, *, stay: bool = False) -> int:
        """Ask the running node; where there is none join as a client, or with `stay` as a node that goes on."""
        request, printer = self.request(op, args), self.printer(view)
        client = self.connect()
        if client is None:
            from dhtshare.cli import in_process

            config = join.config(self.home.path, self.options.network, client=not stay)
            end = in_process.run(config, request, printer, stay=stay, verbose=self.options.verbose)
            if end.code != AlreadyRunningError.exit_code:
                return printer.end(end)
            client = self._starting_node()
        return self._through(client, request, printer)

    def ask_offline(self, op: str, args: dict[str, Any], view: View) -> int:
        """Ask the running node; where there is none read this home's library without any network."""
        request, printer = self.request(op, args), self.printer(view)
        client = self.connect()
        if client is not None:
            return self._through(client, request, printer)
        from dhtshare.cli import in_process

        config = JoinOptions().config(self.home.path, self.options.network, client=True)
        return printer.end(in_process.run_offline(config, request, printer, verbose=self.options.verbose))

    def connect(self) -> Client | None:
        """The running node of this home, or None."""
        from dhtshare.control.client import connect

        return connect(self.home.control_socket())

    def _starting_node(self) -> Client:
        """Another process took the home's lock a moment ago: it will listen soon."""
        from dhtshare.control.stopping import wait_until

        found: list[Client] = []

        def listens() -> bool:
            client = self.connect()
            found.extend([client] if client is not None else [])
            return bool(found) or not self.home.is_running()

        wait_until(listens, STARTING_SECONDS)
        if not found:
            self.home.lock().release()  # raises AlreadyRunningError, with the process that has it
            raise NotRunningError(f"The node that started in {self.home.path} ended again. Run the command again.")
        return found[0]

    def _through(self, client: Client, request: Request, printer: Printer) -> int:
        from dhtshare.cli.hurry import first_signal_cancels

        with client, first_signal_cancels(client.cancel, printer.close):
            for answer in client.ask(request):
                if isinstance(answer, End):
                    return printer.end(answer)
                deliver(printer, answer)
        raise AssertionError("a client's answers end with an End")


def deliver(printer: Printer, answer: Answer) -> None:
    """Hand an answer that is no End to the printer."""
    match answer:
        case Event(fields):
            printer.event(fields)
        case Result(fields):
            printer.result(fields)


def _default_home() -> Path:
    from dhtshare.config import default_home

    return default_home()
