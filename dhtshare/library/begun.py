"""What the catalogue keeps of a fetch until it is finished: that it was begun, and the descriptors that it learned.

With them a later run checks what it has after a reboot, and asks nobody for them again. Blocking: called in worker
threads.
"""

from __future__ import annotations

import os

from dhtshare.content.layout import Layout
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.records import UnfinishedFetch
from dhtshare.library.resume import bitmap_names


class Begun:
    """One fetch that lacks something. Keeps the descriptors of a collection's files, not that of the content: whoever
    is asked for that says its name, too."""

    def __init__(self, catalogue: Catalogue, fetch: UnfinishedFetch, layout: Layout) -> None:
        """What `layout` knows now came from the catalogue. `fetch` has the name and folder of the target."""
        self._catalogue = catalogue
        self._fetch = fetch
        self._layout = layout
        self._kept = len(layout.learned())

    def begin(self) -> None:
        """Note it, and forget those that nobody can go on with, because their parts are gone."""
        for other in self._catalogue.fetches():
            names = bitmap_names(other.name, other.content_hash)
            if not any(os.path.lexists(other.directory / name) for name in names):
                self._catalogue.end_fetch(other.content_hash)
        self._catalogue.begin_fetch(self._fetch)

    def keep(self) -> None:
        """Keep what was learned since it was called last."""
        fresh = self._layout.learned(self._kept)
        if fresh:
            self._catalogue.remember_descriptors(fresh)
            self._kept += len(fresh)

    def end(self) -> None:
        """It is finished: what it learned is kept with what is shared, or not at all."""
        self._catalogue.end_fetch(self._fetch.content_hash)
