"""How far each file of a content is, while its chunks come in any order. Pure."""

from __future__ import annotations

from dhtshare.content.layout import Layout
from dhtshare.transfer.missing import Missing

SHOWN = 3


class FileProgress:
    """Of the files that lack chunks when a fetch begins. Invariant: a file is done when its last chunk is here."""

    def __init__(self, layout: Layout, missing: Missing) -> None:
        self._layout = layout
        self._left = missing.of_file.copy()
        self._begun: dict[int, None] = {}
        """Files that got a chunk and lack one, the one that got it last at the end."""
        self.total = len(self._left)
        self.done = 0

    def stored(self, chunk: int) -> None:
        """A missing chunk is here now."""
        file = self._layout.slot(chunk).file
        self._begun.pop(file, None)
        self._left[file] -= 1
        if self._left[file] > 0:
            self._begun[file] = None
        else:
            del self._left[file]
            self.done += 1

    def fields(self) -> dict[str, object]:
        """As it stands in events: nothing for a content that is one file."""
        if len(self._layout.files) == 1 and not self._layout.files[0].path:
            return {}
        return {"files": self.total, "files_done": self.done, "current": [*map(self._file, self._latest())]}

    def _latest(self) -> list[int]:
        return list(self._begun)[: -SHOWN - 1 : -1]

    def _file(self, number: int) -> dict[str, object]:
        file = self._layout.files[number]
        return {"path": file.path, "chunks": file.chunk_count, "chunks_done": file.chunk_count - self._left[number]}
