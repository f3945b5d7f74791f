"""What people hold stands before what a spammer signed, and one lying holder buries nobody's hits."""

from __future__ import annotations

import pytest

from dhtshare.network import Scope
from tests.sim.spam import HONEST, lying_holder, spam_rule


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_500_entries_of_one_network_leave_ten_honest_ones_among_the_first_20(seed: int) -> None:
    """threats.md: in 95 % of searches. These are 10 of the 40; all of `scripts/bench spam` are under one limit."""
    figures = spam_rule(seed)
    assert sum(buried > 0 for buried in figures["buried"]) <= 0.05 * len(figures["buried"]), figures
    assert min(figures["confirmed_spam"]) >= HONEST  # it was asked about, and is held as it says


@pytest.mark.parametrize("seed", [1, 2])
def test_500_entries_of_one_machine_leave_ten_honest_ones_of_a_local_network_among_the_first_20(seed: int) -> None:
    """The same where no address is capped, nor bound to an id: what counts is that one address is one voice."""
    figures = spam_rule(seed, scope=Scope.LAN)
    assert sum(buried > 0 for buried in figures["buried"]) <= 0.05 * len(figures["buried"]), figures
    assert min(figures["confirmed_spam"]) >= HONEST


@pytest.mark.parametrize("seed", [1, 2])
def test_a_holder_that_answers_first_with_junk_for_ever_gets_its_share_and_no_more(seed: int) -> None:
    figures = lying_holder(seed)
    assert min(figures["shown"]) == 50, figures
    assert min(figures["honest"]) >= 0.7 * 50, figures
