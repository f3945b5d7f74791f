"""What is searched for: words that must all match, and filters. Pure; the same rule for holders and searchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhtshare.content.keywords import extension_of
from dhtshare.dht.records.entry import Entry

MAX_LOOKED_UP_WORDS = 3
MAX_SENT_WORDS = 8  # the searcher checks the others itself
MAX_SENT_WORD_BYTES = 400  # in all, so that a request stays one datagram
MAX_EXTENSION_BYTES = 16


@dataclass(frozen=True, slots=True)
class Query:
    """Words as `tokenize` gives them, all of which an entry must carry, and filters; sizes in bytes.

    `limit` is how many contents the searcher would like; it bounds what each holder is heard for.
    """

    words: tuple[str, ...]
    kind: str | None = None
    extension: str | None = None
    min_size: int | None = None
    max_size: int | None = None
    limit: int = 500

    def matches(self, entry: Entry) -> bool:
        """Whether the entry is an answer."""
        return (
            all(word in entry.words for word in self.words)
            and (self.kind is None or entry.kind == self.kind)
            and (self.min_size is None or entry.size >= self.min_size)
            and (self.max_size is None or entry.size <= self.max_size)
            and (self.extension is None or extension_of(entry.name) == self.extension)
        )

    @property
    def looked_up(self) -> tuple[str, ...]:
        """The words whose keys are asked for: the longest, for they are the rarest."""
        return tuple(sorted(self.words, key=lambda word: (-len(word), word))[:MAX_LOOKED_UP_WORDS])

    @property
    def sent(self) -> tuple[str, ...]:
        """The words that travel with the request."""
        return fitting_words(sorted(self.words, key=lambda word: (-len(word), word)))


def fitting_words(words: Sequence[str]) -> tuple[str, ...]:
    """The first words that fit into a request."""
    kept: list[str] = []
    left = MAX_SENT_WORD_BYTES
    for word in words[:MAX_SENT_WORDS]:
        left -= len(word.encode()) + 2
        if left < 0:
            break
        kept.append(word)
    return tuple(kept)
