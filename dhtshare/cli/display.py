"""How values look to people: sizes, rates, times, and foreign names that cannot touch the terminal.

Pure. Names come from strangers: whatever reaches a terminal or a log passes `visible` first.
"""

from __future__ import annotations

import re
import unicodedata

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

# Control, format (bidi, zero-width, tags), surrogate and private characters, and what breaks lines.
# Unassigned ones are left alone: the letters of a newer Unicode are not an attack.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Drawn as nothing although their category says letter, mark or symbol.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_VARIATION_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_PLAIN = re.compile(r"[\x20-\x7e]*")


def visible(text: str) -> str:
    """`text` with every character that is drawn as nothing, or that steers a terminal, as `<U+202E>`."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(f"<U+{ord(c):04X}>" if _is_hidden(c) else c for c in text)


def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _HIDDEN_CATEGORIES
        or character in _BLANK
        or any(ord(character) in span for span in _VARIATION_SELECTORS)
    )


def human_size(count: float) -> str:
    """Bytes as '512 B' or '12.4 MiB' (1024ⁿ)."""
    if count < 1024:
        return f"{int(count)} B"
    unit = 0
    while unit < len(_UNITS) - 1 and round(count, 1) >= 1024:
        count /= 1024
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}"


def human_rate(bytes_per_second: float) -> str:
    """Bytes per second as '3.1 MiB/s'."""
    return f"{human_size(bytes_per_second)}/s"


def human_limit(bytes_per_second: float) -> str:
    """A rate limit, where 0 stands for none."""
    return human_rate(bytes_per_second) if bytes_per_second else "unlimited"


def human_seconds(seconds: float) -> str:
    """A span as '0.42 s', '12 s', '3 min 05 s', '2 h 05 min' or '3 d 4 h'."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {whole:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def human_remaining(seconds: float) -> str:
    """An estimate of what is left: whole seconds, '9 s left'; estimates have no hundredths."""
    return f"{round(seconds)} s left" if seconds < 59.5 else f"{human_seconds(seconds)} left"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """'1 peer', '2 peers', '2 copies'."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def chunk_map(have: str, width: int) -> str:
    """A row of at most `width` blocks for a string of one digit 0–8 per stretch: how full each stretch is.

    Several digits under one block show as their average, so that the map fits any terminal.
    """
    if not have or width <= 0:
        return ""
    count = len(have)
    columns = min(width, count)
    cells = []
    for column in range(columns):
        part = have[column * count // columns : (column + 1) * count // columns]
        cells.append(_BLOCKS[sum(map(int, part)) // len(part)])
    return "".join(cells)


_BLOCKS = "·▁▂▃▄▅▆▇█"
