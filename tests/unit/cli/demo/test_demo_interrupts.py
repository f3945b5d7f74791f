"""Signals during a demo: never lost, never raised where a process would be left behind."""

from __future__ import annotations

import signal

import pytest

from dhtshare.cli.demo.interrupts import SIGNALS, Interrupts
from dhtshare.errors import InterruptedByUserError


@pytest.fixture
def killed() -> list[str]:
    return []


@pytest.fixture
def interrupts(killed: list[str]) -> Interrupts:
    return Interrupts(lambda: killed.append("now"))


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_unwinds(interrupts: Interrupts, killed: list[str], number: signal.Signals) -> None:
    with interrupts.watched(), pytest.raises(InterruptedByUserError):
        signal.raise_signal(number)
    assert killed == []


def test_further_signals_kill_and_do_not_raise_again(interrupts: Interrupts, killed: list[str]) -> None:
    with interrupts.watched():
        with pytest.raises(InterruptedByUserError):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert killed == ["now", "now"]


def test_a_held_signal_waits_for_the_end_of_what_holds_it(interrupts: Interrupts) -> None:
    reached = False
    with interrupts.watched(), pytest.raises(InterruptedByUserError), interrupts.held():
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached


def test_holding_nests(interrupts: Interrupts) -> None:
    reached = False
    with interrupts.watched(), pytest.raises(InterruptedByUserError), interrupts.held():
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached


def test_an_error_inside_is_not_replaced_by_the_interruption(interrupts: Interrupts) -> None:
    with interrupts.watched(), pytest.raises(OSError, match="mine"), interrupts.held():
        signal.raise_signal(signal.SIGINT)
        raise OSError("mine")


def test_the_handlers_before_are_back_afterwards(interrupts: Interrupts) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with interrupts.watched():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
