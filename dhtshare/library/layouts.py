"""Layouts of what is being served, decoded once and forgotten when others are wanted more."""

from __future__ import annotations

import threading
from collections import OrderedDict

from dhtshare.content.layout import Layout
from dhtshare.errors import DiskError
from dhtshare.library.catalogue import Catalogue

#: Files and chunk hashes of all layouts together: about 30 MB of memory, and beside them one collection of any size.
#: Where that gave way to small ones, whoever asked for both in turn had it decoded each time.
MAX_WEIGHT = 100_000

_OWN_WEIGHT = 2  # that of a small file takes three times what one more file of a collection does


class Layouts:
    """The layouts asked for last. Safe from several threads."""

    def __init__(self, catalogue: Catalogue, max_weight: int = MAX_WEIGHT) -> None:
        self._catalogue = catalogue
        self._max_weight = max_weight
        self._layouts: OrderedDict[bytes, Layout] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, content_hash: bytes) -> Layout:
        """The layout of a content of the catalogue. Raises DiskError when the catalogue lost its descriptor."""
        with self._lock:
            layout = self._layouts.get(content_hash)
            if layout is not None:
                self._layouts.move_to_end(content_hash)
                return layout
        raw = self._catalogue.descriptor(content_hash)
        if raw is None:
            raise DiskError(f"The catalogue holds no descriptor for {content_hash.hex()}. Publish it again.")
        _, layout = Layout.read(raw)
        with self._lock:
            if content_hash not in self._layouts:
                self._layouts[content_hash] = layout
                self._weight += _weight(layout)
            heaviest = max(map(_weight, self._layouts.values()))
            spared = heaviest if heaviest > self._max_weight else 0
            while self._weight - spared > self._max_weight:
                self._weight -= _weight(self._layouts.popitem(last=False)[1])
        return layout

    def __contains__(self, content_hash: bytes) -> bool:
        """Whether `get` takes no time."""
        return content_hash in self._layouts

    def __len__(self) -> int:
        return len(self._layouts)


def _weight(layout: Layout) -> int:
    return _OWN_WEIGHT + len(layout.files) + layout.chunk_count // 8
