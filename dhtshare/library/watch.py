"""Watching the folder of `--share`: looked at every second, since that works on every disk and network mount."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from dhtshare.library.records import StoredPlace
from dhtshare.library.settling import Settling, Stamp

INTERVAL_SECONDS = 1.0
#: A look may take this share of the time; a huge folder is looked at less often.
_LARGEST_SHARE = 0.05


def scan_shared(directory: Path) -> dict[Path, Stamp]:
    """The regular files below `directory`, with size and mtime_ns.

    Dot files and folders, links and special files are skipped, and so is what cannot be read. Raises OSError
    when `directory` itself cannot be.
    """
    found: dict[Path, Stamp] = {}
    with os.scandir(directory) as entries:
        _collect(list(entries), found)
    return found


def _collect(entries: Iterable[os.DirEntry[str]], found: dict[Path, Stamp]) -> None:
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as inner:
                    listed = list(inner)
                _collect(listed, found)
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found[Path(entry.path)] = status.st_size, status.st_mtime_ns
        except OSError:
            continue  # gone in between, or not ours to read


async def watch(
    directory: Path,
    known: Iterable[StoredPlace],
    on_take: Callable[[list[Path]], Awaitable[Iterable[Path]]],
    on_drop: Callable[[list[Path]], Awaitable[object]],
    *,
    interval: float = INTERVAL_SECONDS,
) -> None:
    """Shares what rests in `directory` and withdraws what is deleted, until cancelled by its owner.

    `directory` is real; `known` are the files below it that are shared already. `on_take` returns the paths
    that could not be published; they are tried again. While the folder itself cannot be read, nothing is
    decided: an unplugged disk withdraws nothing.
    """
    loop = asyncio.get_running_loop()
    settling = Settling(
        (place.path, (place.size, place.mtime_ns)) for place in known if place.path.is_relative_to(directory)
    )
    while True:
        began = loop.time()
        try:
            snapshot = await asyncio.to_thread(scan_shared, directory)
        except OSError:
            await asyncio.sleep(interval)
            continue
        took = loop.time() - began
        decisions = settling.scanned(snapshot, loop.time())
        if decisions.drop:
            await on_drop(decisions.drop)
        if decisions.take:
            for path in await on_take(decisions.take):
                settling.failed(path, loop.time())
        await asyncio.sleep(max(interval, took / _LARGEST_SHARE))
