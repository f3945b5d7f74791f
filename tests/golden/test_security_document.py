"""docs/security.md claims nothing that is not there: each test, script and command that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dhtshare.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([^`]+)`", TEXT.replace("\n  ", " "))))
ROWS = [line for line in TEXT.partition("## Threats")[2].partition("\n## ")[0].splitlines() if line.startswith("| ")][
    2:
]


def test_it_is_readable() -> None:
    assert len(TEXT.splitlines()) <= 200


@pytest.mark.parametrize("path", [name for name in NAMED if name.startswith("tests/")])
def test_its_tests_exist(path: str) -> None:
    assert "def test_" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [name for name in NAMED if name.startswith("scripts/")])
def test_its_scripts_exist_and_know_what_they_are_asked_for(command: str) -> None:
    script, *arguments = command.split()
    assert (ROOT / script).stat().st_mode & 0o111
    if script == "scripts/bench" and arguments:
        assert f'"{arguments[0]}":' in (ROOT / "scripts" / "benchmarks" / "__main__.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [name for name in NAMED if name.startswith("dhtshare ")])
def test_its_commands_exist(command: str) -> None:
    _, name, *options = command.split()
    assert name in COMMANDS
    source = (ROOT / "dhtshare" / "cli" / f"{name}.py").read_text(encoding="utf-8")
    assert all(f'"{option}"' in source for option in options if option.startswith("--"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_threat_has_something_that_shows_it(row: str) -> None:
    _, threat, does, shown, _remains, _ = row.split("|")
    assert threat.strip()
    assert does.strip()
    assert re.search(r"`(tests|scripts|dhtshare)[/ ]", shown)
