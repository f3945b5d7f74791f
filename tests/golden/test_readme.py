"""README.md stays short and true: what it links to, names and tells to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dhtshare.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES = 150


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_its_table_of_folders_is_the_tree() -> None:
    table = TEXT.partition("## Where things are")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", row)
        folder = Path(names[0]).parent  # `dhtshare/control/` `cli/`: the further names stand beside the first
        assert all((ROOT / name).exists() or (ROOT / folder / name).exists() for name in names), row


def test_it_names_every_command_and_none_that_is_not_there() -> None:
    table = TEXT.partition("## Commands")[2].partition("\n## ")[0]
    named = {
        name.split()[0]
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }
    assert named == set(COMMANDS)


@pytest.mark.parametrize("script", re.findall(r"\./(scripts/[a-z-]+)", TEXT))
def test_its_scripts_can_be_run(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111
