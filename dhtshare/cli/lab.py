"""`dhtshare lab`: the DHT's own code among many nodes in virtual time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from dhtshare.cli.blocks import Block, Column, Fields, Table
from dhtshare.cli.objects import shown
from dhtshare.cli.options import option
from dhtshare.cli.session import Session
from dhtshare.control.protocol import End
from dhtshare.errors import UsageError

MOST_NODES = 5000
FEWEST_LOOKUPS = 200


def lab(
    session: Session,
    nodes: Annotated[int, option("--nodes", metavar="N", help="How many nodes.")] = 500,
    dead: Annotated[float, option("--dead", metavar="P", help="Share of them that is gone, unknown to the rest.")] = 0,
    loss: Annotated[float, option("--loss", metavar="P", help="Share of datagrams that is lost.")] = 0,
    churn: Annotated[float, option("--churn", metavar="P", help="Share of nodes replaced meanwhile.")] = 0,
    liars: Annotated[float, option("--liars", metavar="P", help="Share of nodes that lie.")] = 0,
    hostile: Annotated[int, option("--hostile", metavar="N", help="Hostile nodes aimed at each key looked up.")] = 0,
    networks: Annotated[int, option("--networks", metavar="N", help="How many /24s these come from.")] = 2,
    seed: Annotated[int, option("--seed", metavar="S", help="Same seed, same figures.")] = 1,
    rtt: Annotated[float, option("--rtt", metavar="MS", help="Median round trip in milliseconds.")] = 80,
    lookups: Annotated[int, option("--lookups", metavar="N", help="How many lookups to measure.")] = FEWEST_LOOKUPS,
) -> int:
    """Prove the DHT's figures in virtual time: the same code, a simulated network."""
    shares = {"--dead": dead, "--loss": loss, "--churn": churn, "--liars": liars}
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise UsageError(f"{name} is a share from 0 to below 1, not {share:g}.")
    if not 2 <= nodes <= MOST_NODES:
        raise UsageError(f"--nodes takes 2 to {MOST_NODES}; beyond that see scripts/scale.")
    if rtt <= 0 or lookups < FEWEST_LOOKUPS:
        raise UsageError(f"--rtt is above 0 and --lookups at least {FEWEST_LOOKUPS}.")
    if not 0 <= hostile <= 200 or not 1 <= networks <= 200:
        raise UsageError("--hostile takes 0 to 200 nodes a key, --networks 1 to 200.")
    from dhtshare.dht.lab import Trouble, run_lab

    trouble = Trouble(dead, loss, churn, liars, hostile, networks)
    printer = session.printer(lab_view)
    with _bar(shown=not session.options.json and not session.options.quiet) as progress:
        result = run_lab(nodes=nodes, trouble=trouble, seed=seed, rtt=rtt / 1000, lookups=lookups, progress=progress)
    printer.result(result)
    return printer.end(End())


@contextmanager
def _bar(*, shown: bool) -> Iterator[Callable[[float], None]]:
    """Takes shares of the work done; draws on standard error where that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("simulating", total=1.0)
        yield lambda share: bars.update(bar, completed=share)


def lab_view(result: dict[str, Any]) -> list[Block]:
    """The figures, and the times of the lookups as a table."""
    times = {name: value for name, value in result.items() if name.endswith("_ms") and isinstance(value, dict)}
    figures = [(name, shown(name, value)) for name, value in result.items() if name not in times]
    percentiles = list(next(iter(times.values()), {}))
    columns = [Column("ms"), *(Column(name, right=True) for name in percentiles)]
    rows = [
        [name.removesuffix("_ms"), *(shown("", value.get(percentile)) for percentile in percentiles)]
        for name, value in times.items()
    ]
    return [Fields(figures), Table(columns, rows)] if rows else [Fields(figures)]
