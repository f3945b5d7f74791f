"""docs/scripting.md is prose; its tables are held against the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dhtshare import errors
from dhtshare.cli.commands import COMMANDS
from dhtshare.cli.main import run
from dhtshare.errors import DhtshareError

TEXT = (Path(__file__).parents[2] / "docs" / "scripting.md").read_text(encoding="utf-8")
EVERYWHERE = {"--home", "--network", "--json", "--quiet", "--verbose", "--version", "--help"}
JOINING = {
    *("--host", "--port", "--bootstrap", "--bootstrap-file", "--no-lan", "--announce-host", "--announce-port"),
    *("--encryption", "--max-upload", "--max-download"),
}


def _all_kinds(kind: type[DhtshareError]) -> set[type[DhtshareError]]:
    return {kind, *(below for child in kind.__subclasses__() for below in _all_kinds(child))}


def test_the_table_of_exit_codes_is_the_programs() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    kinds = {kind for kind in _all_kinds(DhtshareError) if kind.__module__ == errors.__name__}
    assert documented == {0, *(kind.exit_code for kind in kinds)}


def _rows() -> dict[str, str]:
    """Command → its row in the table of options."""
    table = TEXT.partition("| command | options of its own |")[2].partition("\n\n")[0]
    rows = {}
    for line in table.splitlines()[2:]:
        for span in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
            rows[span] = line
    return rows


def test_every_command_has_a_row() -> None:
    assert {span.split()[0] for span in _rows()} == set(COMMANDS)


@pytest.mark.parametrize("span", _rows())
def test_the_options_of_a_command_are_those_it_has(span: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in span.split() if word.islower() and word.isascii()]
    assert run([*words, "--help"]) == 0
    helped = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", capsys.readouterr().out))
    documented = set(re.findall(r"--[a-z][a-z-]+", _rows()[span]))
    assert documented <= helped, "no option that the program lacks"
    assert helped - documented - EVERYWHERE - JOINING == set(), "no option left out"
