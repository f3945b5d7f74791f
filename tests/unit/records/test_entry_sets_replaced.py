"""A newer entry of one publisher takes the place of the older one, whatever words they share."""

from __future__ import annotations

import itertools

from tests.unit.records.records_fakes import WALL, entry, raws, store

WORDS = ("one", "two", "three")


def test_an_older_entry_under_several_words_of_the_newer_one() -> None:
    """Regression: the old record was let go under the second word while it was being replaced under the first."""
    for old, new in itertools.product(itertools.permutations(WORDS), itertools.permutations(WORDS, 2)):
        kept = store()
        before, after = entry(words=old, sequence=1), entry(words=new, sequence=2)
        kept.put_entry(before, range(len(old)), b"net", now=0.0, wall=WALL)
        kept.put_entry(after, range(len(new)), b"net", now=0.0, wall=WALL)
        for word in WORDS:
            assert raws(kept, word) == ([after.raw] if word in new else [])
        assert kept.budget.records == 1
