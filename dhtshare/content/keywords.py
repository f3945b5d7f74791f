"""From a name to the words under which it is found.

The mapping word -> key is protocol: publishers and searchers must agree on it for ever, and golden vectors
freeze it. (A character that is newer than one side's Python separates words there.) Never asks what a word
means: no stemming, no stop words, no transliteration.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.content.scripts import BARE_OF_MARKS, LATIN, WITHOUT_SPACES

__all__ = [
    "MAX_WORDS",
    "MAX_WORD_BYTES",
    "collection_words",
    "content_key",
    "extension_of",
    "keyword_key",
    "tokenize",
    "words_for",
]

MAX_WORDS = 32
"""Words of one keyword entry."""

MAX_WORD_BYTES = 64
"""Of UTF-8; a longer word is cut, in names and in queries alike, so that it still finds itself."""

_EXTENSION = re.compile(r"(?<=.)\.((?=[0-9]*[a-z])[0-9a-z]{1,10})\Z", re.IGNORECASE | re.DOTALL | re.ASCII)


def extension_of(name: str) -> str:
    """The extension of a file name in lower case, without the dot; '' where there is none.

    Up to 10 ASCII letters and digits behind the last dot, one letter at least: '1.5' has no extension.
    """
    found = _EXTENSION.search(name)
    return found[1].lower() if found else ""


def tokenize(text: str) -> list[str]:
    """The distinct words of `text`, normalised, in order of first appearance. The same for names and queries.

    A word is a run of letters, numbers and marks without case and, in Latin, Greek and Cyrillic, without
    marks. Han, Kana and Thai come in overlapping pairs of characters, or alone where one stands alone. Single
    Latin letters are no words.
    """
    return list(dict.fromkeys(chain.from_iterable(map(_words_in, _runs(_normalized(text))))))


def words_for(
    keywords: Iterable[str], name: str, title: str | None = None, folders: Iterable[str] = ()
) -> tuple[str, ...]:
    """The words of a file: given keywords, name without extension, title, folder names; the first MAX_WORDS."""
    return _first_words(chain(keywords, [_stem(name), title or ""], folders))


def collection_words(keywords: Iterable[str], name: str, paths: Iterable[str]) -> tuple[str, ...]:
    """The words of a collection: given keywords, its own name, then folder and file names of the paths in it.

    A folder's name has no extension, so nothing is taken off `name`. `paths` is read only until there are
    MAX_WORDS words.
    """
    return _first_words(chain(keywords, [name], chain.from_iterable(map(_names_in, paths))))


def _names_in(path: str) -> list[str]:
    *folders, last = path.split("/")  # of an empty folder ('a/b/') the last is ''
    return [*folders, _stem(last)]


def _stem(name: str) -> str:
    return _EXTENSION.sub("", name)


def _first_words(texts: Iterable[str]) -> tuple[str, ...]:
    unique = _unique(chain.from_iterable(map(tokenize, texts)))
    return tuple(islice(unique, MAX_WORDS))


def _unique(words: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for word in words:
        if word not in seen:
            seen.add(word)
            yield word


def _normalized(text: str) -> str:
    # Case folding can bring forth characters that decompose again, hence NFKD twice.
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept: list[str] = []
    bare = False  # whether marks are dropped here: behind a letter that loses them
    for character in text:
        if _is_mark(character):
            if bare:
                continue
        else:
            bare = BARE_OF_MARKS.match(character) is not None
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def _is_mark(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character)[0] == "M"


def _runs(text: str) -> Iterator[str]:
    """Maximal runs of letters, numbers and marks."""
    run: list[str] = []
    for character in chain(text, " "):
        if unicodedata.category(character)[0] in "LNM":
            run.append(character)
        elif run:
            yield "".join(run)
            run.clear()


def _words_in(run: str) -> Iterator[str]:
    position = 0
    for spaceless in WITHOUT_SPACES.finditer(run):
        yield from _whole_word(run[position : spaceless.start()])
        yield from _pairs(spaceless[0])
        position = spaceless.end()
    yield from _whole_word(run[position:])


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for one, other in pairwise(run):
        yield one + other


def _whole_word(word: str) -> Iterator[str]:
    # Marks alone, such as an emoji's variation selector, are no word.
    if word and not (len(word) == 1 and LATIN.match(word)) and not all(map(_is_mark, word)):
        yield word.encode()[:MAX_WORD_BYTES].decode(errors="ignore")
