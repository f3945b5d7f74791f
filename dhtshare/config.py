"""What a node is told at its start: one frozen record, and the parsers of sizes, rates and the home.

Never reads the environment and never opens a file; the command line does both.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from dhtshare.errors import UsageError
from dhtshare.network import DEFAULT_NETWORK, LOWEST_GLOBAL_PORT, IPNetwork

DEFAULT_PORT = 4470
REACHABLE = ("auto", "yes", "no")
ENCRYPTION = ("auto", "never")

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMG]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_FACTOR = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes of '300', '1.5M' or '2G' (1024ⁿ). Also used for rates in bytes per second. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is not a size; write bytes, or a number with K, M or G such as 500K or 1.5M.")
    return (
        int(float(match[1]) * _FACTOR[match[2].upper()])
        if "." in match[1]
        else int(match[1]) * _FACTOR[match[2].upper()]
    )


def default_home() -> Path:
    """The home of a user who named none, after the platform's custom."""
    import platformdirs

    return Path(platformdirs.user_data_dir("dhtshare", appauthor=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """How one node lives. Rates are bytes per second, 0 means unlimited; port 0 means any."""

    home: Path
    network: str = DEFAULT_NETWORK
    host: str | None = None
    port: int = DEFAULT_PORT
    bootstrap: tuple[str, ...] = ()
    bootstrap_file: Path | None = None
    lan: bool = True
    announce_host: str | None = None
    announce_port: int | None = None
    reachable: str = "auto"
    encryption: str = "auto"
    max_upload: int = 0
    max_download: int = 0
    share: Path | None = None
    treat_as_public: tuple[str, ...] = ()
    client: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UsageError(f"Port {self.port} is outside 0–65535.")
        if self.announce_port is not None and not LOWEST_GLOBAL_PORT <= self.announce_port < 65536:
            raise UsageError(f"--announce-port {self.announce_port} is outside {LOWEST_GLOBAL_PORT}–65535.")
        if self.reachable not in REACHABLE:
            raise UsageError(f"--reachable is one of {', '.join(REACHABLE)}, not '{self.reachable}'.")
        if self.encryption not in ENCRYPTION:
            raise UsageError(f"--encryption is one of {', '.join(ENCRYPTION)}, not '{self.encryption}'.")
        if self.max_upload < 0 or self.max_download < 0:
            raise UsageError("A rate limit is not negative; 0 means unlimited.")
        self.public_networks()

    def public_networks(self) -> tuple[IPNetwork, ...]:
        """The networks of --treat-as-public. Raises UsageError for one that is none."""
        try:
            return tuple(ipaddress.ip_network(text) for text in self.treat_as_public)
        except ValueError as error:
            raise UsageError(f"--treat-as-public: {error}.") from error
