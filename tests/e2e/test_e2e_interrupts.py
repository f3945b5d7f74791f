"""Ctrl-C at any moment: a code, no traceback, nothing left. A hundred times by `scripts/kill-loop --signal INT`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scripts.interrupting import Stories
from tests.processes import Home, Network


@pytest.mark.parametrize("command", ["fetch", "fetch", "publish", "search", "node"])
def test_ctrl_c_somewhere_in_a_command(network: Network, command: str) -> None:
    stories = Stories(network, random.Random())
    stories.interrupt(command)
    assert stories.tallies[command].wrong == []
    assert stories.tallies[command].interrupted == 1


def test_ctrl_c_while_the_program_loads(home: Home, network: Network, tmp_path: Path) -> None:
    network.first_on_path = tmp_path / "first"
    network.first_on_path.mkdir()
    (network.first_on_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = home.run("status", code=130)
    assert (ended.stdout, ended.stderr) == ("", "dhtshare: Interrupted.\n")
