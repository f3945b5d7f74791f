"""All that this node serves: what the catalogue shares, and what is being fetched right now.

Only exact hashes are answered; there is no listing. Never copies content and never changes a file.
"""

from __future__ import annotations

from collections.abc import Callable

from dhtshare.library.catalogue import Catalogue
from dhtshare.library.handles import OpenFiles
from dhtshare.library.layouts import Layouts
from dhtshare.library.offers import PartialOffer, SharedOffer
from dhtshare.library.records import Item, Kind, State
from dhtshare.library.unfinished import Unfinished

#: Answers kept until the library changes: a busy content costs no query per request.
_REMEMBERED = 1024


class Shelf:
    """Offers by content hash. `on_change` is told, in a worker thread, of items found changed or missing.

    `refused` is told, in any thread, when no descriptor is left to open a file.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        on_change: Callable[[Item], None] | None = None,
        refused: Callable[[BaseException], bool] = lambda _: False,
    ) -> None:
        self._catalogue = catalogue
        self._on_change = on_change or (lambda _: None)
        self._layouts = Layouts(catalogue)
        self._files = OpenFiles(refused=refused)
        self._partial: dict[bytes, PartialOffer] = {}
        self._known: dict[bytes, SharedOffer | None] = {}
        self._generation = -1

    def offer(self, content_hash: bytes) -> SharedOffer | PartialOffer | None:
        """What is served under this hash. Called on the event loop: two indexed queries at most."""
        generation = self._catalogue.generation
        if generation != self._generation or len(self._known) >= _REMEMBERED:
            self._known.clear()
            self._generation = generation
        if content_hash not in self._known:
            self._known[content_hash] = self._shared(content_hash)
        return self._known[content_hash] or self._partial.get(content_hash)

    def _shared(self, content_hash: bytes) -> SharedOffer | None:
        if not self._catalogue.is_served(content_hash):
            return None
        item = self._catalogue.item(content_hash)
        if item is not None and item.kind is Kind.COLLECTION:
            offer = self._make(content_hash, item.name)
            return offer if item.state is State.SHARED or self._catalogue.members_here(content_hash) else None
        for place in self._catalogue.places(content_hash):
            if place.state is State.SHARED:
                return self._make(content_hash, item.name if item is not None else place.path.name)
        return None

    def _make(self, content_hash: bytes, name: str) -> SharedOffer:
        return SharedOffer(content_hash, name, self._catalogue, self._layouts, self._files, self._on_change)

    def add_unfinished(self, unfinished: Unfinished, descriptor: bytes, name: str) -> None:
        """Serves the verified chunks of a fetch from now on."""
        self._partial[unfinished.content_hash] = PartialOffer(unfinished, descriptor, name)

    def remove_unfinished(self, content_hash: bytes) -> None:
        """Serves a fetch no longer; to be called before the fetch is closed."""
        self._partial.pop(content_hash, None)

    def close(self) -> None:
        """Closes the files that are open. Chunks that are being sent keep theirs until they are given back."""
        self._files.close()
