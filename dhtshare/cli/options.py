"""The options that several commands share, each declared once and each an environment variable, too.

A command takes a whole group as one parameter: see `commands`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dhtshare import __version__

if TYPE_CHECKING:
    from dhtshare.config import NodeConfig

ENVIRONMENT_PREFIX = "DHTSHARE_"


def variable(name: str) -> str:
    """The environment variable of an option: '--no-lan' and '--seed/--no-seed' give DHTSHARE_NO_LAN, DHTSHARE_SEED."""
    return ENVIRONMENT_PREFIX + name.split("/")[0].lstrip("-").replace("-", "_").upper()


def option(*names: str, help: str, **more: Any) -> Any:
    """A typer option whose environment variable follows from its (first) long name."""
    long = next(name for name in names if name.startswith("--"))
    return typer.Option(*names, help=help, envvar=variable(long), show_envvar=False, **more)


def everywhere(*names: str, help: str, **more: Any) -> Any:
    """An option of every command."""
    return option(*names, help=help, rich_help_panel="Everywhere", **more)


def joining(*names: str, help: str, **more: Any) -> Any:
    """An option of how a node joins the network."""
    return option(*names, help=help, rich_help_panel="Joining the network", **more)


def show_version(ctx: typer.Context, asked: bool) -> None:
    """Print the version and end the program."""
    if asked:
        print(f'{{"version": "{__version__}"}}' if ctx.obj["json"] else f"dhtshare {__version__}")  # noqa: T201
        raise typer.Exit


class Reachable(enum.StrEnum):
    """What a node says of itself: whether strangers can reach it."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class Encryption(enum.StrEnum):
    """Whether connections between peers are encrypted."""

    AUTO = "auto"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """Accepted before and after every command."""

    home: Annotated[Path | None, everywhere("--home", metavar="DIR", help="Folder of this node.")] = None
    network: Annotated[str | None, everywhere("--network", metavar="NAME", help="Network to join.")] = None
    json: Annotated[bool, everywhere("--json", help="JSON lines on standard output; the last one is the result.")] = (
        False
    )
    quiet: Annotated[bool, everywhere("--quiet", "-q", help="The result only.")] = False
    verbose: Annotated[bool, everywhere("--verbose", "-v", help="Say more, with a chunk map and tracebacks.")] = False

    version: Annotated[
        bool, everywhere("--version", help="Show the version and exit.", is_eager=True, callback=show_version)
    ] = False

    def under(self, before: GlobalOptions) -> GlobalOptions:
        """These, given after the command, over those given before it."""
        return GlobalOptions(
            home=self.home or before.home,
            network=self.network or before.network,
            json=self.json or before.json,
            quiet=self.quiet or before.quiet,
            verbose=self.verbose or before.verbose,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinOptions:
    """How a command joins the network where no node runs in its home; a running node's own options hold otherwise."""

    host: Annotated[str | None, joining("--host", metavar="ADDR", help="Address to listen on.")] = None
    port: Annotated[int | None, joining("--port", metavar="N", help="UDP and TCP port, 0 for any.")] = None
    bootstrap: Annotated[
        list[str], joining("--bootstrap", metavar="HOST:PORT", help="Node to join by; repeatable.")
    ] = field(default_factory=list)
    bootstrap_file: Annotated[
        Path | None, joining("--bootstrap-file", metavar="FILE", help="Nodes to join by, one HOST:PORT a line.")
    ] = None
    no_lan: Annotated[bool, joining("--no-lan", help="Neither find nor tell nodes on the local network.")] = False
    announce_host: Annotated[
        str | None, joining("--announce-host", metavar="ADDR", help="Address at which others reach this node.")
    ] = None
    announce_port: Annotated[
        int | None, joining("--announce-port", metavar="N", help="TCP port told to others where it differs.")
    ] = None
    encryption: Annotated[Encryption, joining("--encryption", help="Encrypt connections between peers.")] = (
        Encryption.AUTO
    )
    max_upload: Annotated[
        str, joining("--max-upload", metavar="RATE", help="Bytes per second, with K, M or G; 0 for unlimited.")
    ] = "0"
    max_download: Annotated[
        str, joining("--max-download", metavar="RATE", help="Bytes per second, with K, M or G; 0 for unlimited.")
    ] = "0"
    treat_as_public: Annotated[
        list[str], joining("--treat-as-public", metavar="CIDR", hidden=True, help="For tests.")
    ] = field(default_factory=list)

    def config(self, home: Path, network: str | None, *, client: bool) -> NodeConfig:
        """The node that these options describe. Raises UsageError."""
        from dhtshare.config import NodeConfig, parse_size
        from dhtshare.network import DEFAULT_NETWORK

        return NodeConfig(
            home=home,
            network=network or DEFAULT_NETWORK,
            host=self.host,
            port=self.port or 0,
            bootstrap=tuple(self.bootstrap),
            bootstrap_file=self.bootstrap_file,
            lan=not self.no_lan,
            announce_host=self.announce_host,
            announce_port=self.announce_port,
            encryption=str(self.encryption),
            max_upload=parse_size(self.max_upload),
            max_download=parse_size(self.max_download),
            treat_as_public=tuple(self.treat_as_public),
            client=client,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions(JoinOptions):
    """How a node lives that stays."""

    reachable: Annotated[Reachable, option("--reachable", help="Whether others can reach this node.")] = Reachable.AUTO
    share: Annotated[
        Path | None, option("--share", metavar="DIR", help="Publish the files of this folder, and watch it.")
    ] = None
    until_eof: Annotated[
        bool, option("--until-eof", help="Stop when standard input ends, as when whoever started it dies.")
    ] = False

    def config(self, home: Path, network: str | None, *, client: bool = False) -> NodeConfig:
        """The node that these options describe; port 4470 unless told. Raises UsageError."""
        from dataclasses import replace

        from dhtshare.config import DEFAULT_PORT

        config = JoinOptions.config(self, home, network, client=client)
        return replace(
            config,
            port=DEFAULT_PORT if self.port is None else self.port,
            reachable=str(self.reachable),
            share=None if self.share is None else Path(self.share).absolute(),
        )
