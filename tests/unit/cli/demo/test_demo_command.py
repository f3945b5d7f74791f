"""The end of a demo that stays up: Ctrl-C is no failure from the moment its result can be read."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhtshare.cli.demo.command import stay_up
from dhtshare.cli.demo.interrupts import Interrupts
from dhtshare.cli.demo.processes import DemoNetwork
from dhtshare.cli.printer import Printer


class Reader:
    """Whoever reads what is printed, and presses Ctrl-C then."""

    def __init__(self, *, at: str) -> None:
        self.read: list[str] = []
        self._at = at

    def result(self, fields: dict[str, Any]) -> None:
        self._reads("result")

    def note(self, sentence: str) -> None:
        self._reads("note")

    def _reads(self, what: str) -> None:
        if what == self._at:
            signal.raise_signal(signal.SIGINT)
        self.read.append(what)


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("nobody asks it to end any more")

    monkeypatch.setattr("dhtshare.cli.demo.command.signal.pause", fail)


@pytest.mark.usefixtures("pause")
@pytest.mark.parametrize("at", ["result", "note"])
def test_ctrl_c_from_the_result_on_ends_well(at: str) -> None:
    """It came between the result and the sentences below it, and the demo that had gone well ended with 130."""
    reader, interrupts = Reader(at=at), Interrupts(cast("Callable[[], None]", None))
    network = SimpleNamespace(name="demo", nodes=[SimpleNamespace(home="/h", address="127.0.0.1:1")])
    network.interrupts = interrupts
    with interrupts.watched():
        stay_up(cast(DemoNetwork, network), {"ok": True}, cast(Printer, reader))
    assert reader.read[:1] == ["result"]
