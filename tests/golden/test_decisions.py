"""The decisions can be cited: each has a number of its own, and every one that is cited exists."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
_CITED = re.compile(r"\bdecisions?[ /](\d{4})\b")


def _cited() -> set[str]:
    paths = [path for room in ("dhtshare", "docs", "scripts", "tests") for path in (ROOT / room).rglob("*.[pm][yd]")]
    return {number for path in paths for number in _CITED.findall(path.read_text(encoding="utf-8"))}


def test_each_has_its_own_number() -> None:
    numbers = Counter(path.name[:4] for path in DECISIONS)
    assert max(numbers.values()) == 1, numbers
    assert sorted(map(int, numbers)) == list(range(len(numbers))), "none is missing"


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_its_title_has_the_same_number(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith(f"# {path.name[:4]}"), path


def test_every_one_that_is_cited_exists() -> None:
    cited = _cited()
    assert cited, "some are"
    assert cited <= {path.name[:4] for path in DECISIONS}
