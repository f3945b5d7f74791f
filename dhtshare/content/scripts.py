"""Which script a character belongs to, as far as keywords must know. Frozen: these sets are protocol.

Written out because Python's unicodedata does not tell scripts. Only letters, numbers and marks in their
normal form (NFKD, case-folded) are ever looked up, so compatibility forms and signs inside the ranges do not
matter.
"""

from __future__ import annotations

import re

# Basic Latin to Latin Extended-B and IPA; phonetic extensions; Extended Additional; Extended-C, -D, -E.
_LATIN = (
    "A-Za-zªº\u00c0-\u02af\u1d00-\u1d25\u1d6b-\u1d77\u1d79-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f\ua722-\ua7ff\uab30-\uab64"
)
# With Greek Extended; the Cyrillic blocks without their combining marks.
_GREEK = "\u0370-\u03ff\u1d26-\u1d2a\u1f00-\u1fff"
_CYRILLIC = "\u0400-\u0482\u048a-\u052f\u1c80-\u1c8f\u1d2b\u1d78\ua640-\ua66e\ua680-\ua69b"
# Radicals, iteration and number signs, unified ideographs with all extensions in planes 2 and 3.
_HAN = "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Hiragana and Katakana with the prolonged sound mark, without the middle dot (punctuation).
_KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\U0001aff0-\U0001b16f"
# With vowel signs and tone marks, without the currency sign and the digits.
_THAI = "\u0e01-\u0e3a\u0e40-\u0e4e"

LATIN = re.compile(f"[{_LATIN}]")
BARE_OF_MARKS = re.compile(f"[{_LATIN}{_GREEK}{_CYRILLIC}]")
"""Letters after which marks are dropped: people leave their accents out, and find the word all the same."""
WITHOUT_SPACES = re.compile(f"[{_HAN}{_KANA}{_THAI}]+")
"""Runs of scripts that set no spaces between words."""
