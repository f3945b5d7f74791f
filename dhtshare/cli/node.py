"""`dhtshare node`: join the network and serve this home's library."""

from __future__ import annotations

from dhtshare.cli.options import NodeOptions
from dhtshare.cli.session import Session


def node(session: Session, options: NodeOptions) -> int:
    """Join the network and serve what this home shares, until Ctrl-C."""
    config = options.config(session.home.path, session.options.network)
    from dhtshare.cli import in_process  # the whole program: not for a wrong option

    # The ready line is what a script waits for: it is this command's result.
    printer = session.printer(lambda result: [], kept_when_quiet=["ready"])
    verbose, until_eof = session.options.verbose, options.until_eof
    return printer.end(in_process.run_node(config, printer, verbose=verbose, until_eof=until_eof))
