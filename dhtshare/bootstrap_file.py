"""Which nodes to ask first: `bootstrap_nodes.txt`, one host:port a line. Reads; resolves and asks nobody."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dhtshare.errors import DiskError, UsageError
from dhtshare.network import split_host_port

MAX_FILE_BYTES = 1 << 20
MAX_ENTRIES = 1000
_NAME = "bootstrap_nodes.txt"


def parse_bootstrap(text: str, source: str) -> list[tuple[str, int]]:
    """The (host, port) pairs of a file's text; '#' begins a comment. Raises UsageError naming source and line."""
    entries: dict[tuple[str, int], None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            entries[split_host_port(entry)] = None
        except UsageError as error:
            raise UsageError(f"{source}, line {number}: {error}") from error
        if len(entries) > MAX_ENTRIES:
            raise UsageError(f"{source} names over {MAX_ENTRIES} nodes; a few dozen are plenty.")
    return list(entries)


def read_bootstrap_file(path: Path) -> list[tuple[str, int]]:
    """The nodes named in the user's file. Raises UsageError for a missing or malformed file, DiskError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path} is over {MAX_FILE_BYTES} bytes; that is no list of nodes.")
        return parse_bootstrap(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"There is no bootstrap file {path}. Check --bootstrap-file.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.") from error
    except OSError as error:
        raise DiskError(f"Cannot read {path}: {error.strerror}.") from error


def shipped_bootstrap_nodes() -> list[tuple[str, int]]:
    """The nodes that came with this program: inside the wheel, or in the checkout it runs from."""
    inside = files("dhtshare").joinpath(_NAME)
    if inside.is_file():
        return parse_bootstrap(inside.read_text(encoding="utf-8"), _NAME)
    beside = Path(__file__).resolve().parent.parent / _NAME
    return read_bootstrap_file(beside) if beside.is_file() else []
