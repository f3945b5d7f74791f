"""What of a wanted content lies somewhere on this disk already, and need not be fetched."""

from __future__ import annotations

from dhtshare.content.layout import Layout
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.unfinished import Unfinished


def know_descriptors(layout: Layout, catalogue: Catalogue) -> int:
    """Gives a layout those members' descriptors that the catalogue has; how many."""
    known = 0
    for number in range(len(layout.files)):
        if layout.needs_descriptor(number):
            raw = catalogue.descriptor(layout.files[number].content_hash)
            if raw is not None:
                layout.set_descriptor(number, raw)
                known += 1
    return known


def adopt_known(unfinished: Unfinished, catalogue: Catalogue) -> int:
    """Copies into an unfinished content what this library has of it, verified chunk by chunk; the bytes gained.

    Looks for each file that lacks chunks by its own content hash, so it does not matter whether the file was
    published alone or as a member. A copy that cannot be read is passed over. Raises DiskError when writing fails.
    """
    layout = unfinished.layout
    know_descriptors(layout, catalogue)
    gained = 0
    for number in sorted({layout.slot(chunk).file for chunk in unfinished.missing()}):
        for place in catalogue.places(layout.files[number].content_hash):
            gained += unfinished.adopt(place.path, number)
            if all(chunk in unfinished.have for chunk in layout.chunks_of_file(number)):
                break
    return gained
