"""The last steps of a fetch: from part files that are whole to the names that were asked for.

Each step leaves the disk so that a crash right after it loses nothing: bytes are fsynced before they are
renamed, and the claims about them go only after the folder that holds the new name is fsynced too.
"""

from __future__ import annotations

from dataclasses import dataclass

from dhtshare.content.layout import Layout
from dhtshare.library.landing import (
    folders_on_the_way,
    make_empty,
    move,
    move_folder,
    remove_file,
    remove_tree,
    sync_file,
    sync_folders,
)
from dhtshare.library.part_files import PartFiles
from dhtshare.library.records import Kind
from dhtshare.library.target import Target


@dataclass(frozen=True, slots=True)
class Finishing:
    """What lands where. `files` are the wanted numbers, `everything` says that these are all of the content."""

    root: int
    layout: Layout
    kind: Kind
    target: Target
    files: frozenset[int]
    everything: bool

    @property
    def awaited(self) -> frozenset[int]:
        """The wanted files that did not stand at the target from the start."""
        return self.files - self.target.whole

    def make_empties(self, parts: PartFiles) -> None:
        """Makes the parts that no chunk made: empty files and empty folders. Raises OSError."""
        for file in sorted(self.awaited):
            if not self.layout.files[file].chunk_count:
                parts.make_empty(file)

    def land(self, parts: PartFiles, part_name: str) -> None:
        """Gives everything its final name, durably; all part files are fsynced before. Raises OSError."""
        if self.kind is Kind.FILE:
            self._land_file(part_name)
        elif self.everything and self.target.absent:
            self._land_folder(parts, part_name)
        else:
            self._merge(parts, part_name)
        parts.has_landed(self.files)

    def _land_file(self, part_name: str) -> None:
        if self.awaited:
            move(self.root, part_name, self.target.name, replace=self.target.in_the_way is not None)
        else:
            sync_file(self.root, self.target.name)
        sync_folders(self.root, [""])

    def _land_folder(self, parts: PartFiles, part_name: str) -> None:
        make_empty(self.root, f"{part_name}/", 0)  # a collection may be nothing but a name
        inside = {folder for file in self.files for folder in folders_on_the_way(parts.part(file))}
        sync_folders(self.root, (inside | {part_name}) - {""})
        move_folder(self.root, part_name, self.target.name)
        sync_folders(self.root, [""])

    def _merge(self, parts: PartFiles, part_name: str) -> None:
        """File by file into a folder that exists, or that gets only some of the files."""
        touched = {"", self.target.name}
        make_empty(self.root, f"{self.target.name}/", 0)
        for file in sorted(self.files):
            final = parts.landed(file)
            touched.update(folders_on_the_way(final))
            if self.layout.files[file].is_folder:
                make_empty(self.root, final, 0)
            elif file in self.target.whole:
                sync_file(self.root, final)
            else:
                move(self.root, parts.part(file), final, replace=file in self.target.different)
        sync_folders(self.root, touched)

    def clear(self, part_name: str) -> None:
        """Removes what is left of the part. Raises OSError."""
        if self.kind is Kind.COLLECTION:
            remove_tree(self.root, part_name)
        else:
            remove_file(self.root, part_name)
