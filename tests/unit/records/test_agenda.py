"""When records are due: at once, together, long before they expire, and again soon where too few took them."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dhtshare.dht.records.agenda import (
    JITTER,
    MAX_RETRY_SECONDS,
    RETRY_SECONDS,
    TOGETHER,
    UNDER_WAY,
    Agenda,
    Due,
    Shared,
)
from dhtshare.dht.records.limits import ENTRY_PERIOD, PROVIDER_PERIOD

A, B = b"a" * 32, b"b" * 32


def go_out(agenda: Agenda, now: float, *, quorum: bool = True) -> list[Shared]:
    """One round of everything that is due."""
    due = agenda.take_due(now)
    for shared in {*due.providers, *due.entries}:
        agenda.announced(shared, now, provider=shared in due.providers, entry=shared in due.entries, quorum=quorum)
    return [*due.providers]


def test_what_is_shared_is_due_at_once_and_then_long_before_it_expires() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("word",), partial=False, now=100.0, entry_at=None)
    (shared,) = go_out(agenda, 100.0)
    assert not agenda.take_due(100.0)
    assert (1 - JITTER) * PROVIDER_PERIOD <= shared.provider_at - 100.0 <= PROVIDER_PERIOD
    assert shared.entry_at is not None
    assert (1 - JITTER) * ENTRY_PERIOD <= shared.entry_at - 100.0 <= ENTRY_PERIOD
    assert agenda.next_due() == shared.provider_at


def test_what_is_under_way_is_not_due_again() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("word",), partial=False, now=0.0, entry_at=None)
    assert len(agenda.take_due(0.0).entries) == 1
    assert not agenda.take_due(1e6)
    assert agenda.next_due() == UNDER_WAY


def test_what_becomes_due_while_it_is_under_way_stays_due() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, (), partial=False, now=0.0, entry_at=None)
    due = agenda.take_due(0.0)
    agenda.all_due(5.0)
    agenda.announced(due.providers[0], 9.0, provider=True, entry=False, quorum=True)
    assert agenda.next_due() == 5.0


def test_a_library_is_renewed_together() -> None:
    agenda = Agenda(random.Random(1))
    for number in range(100):
        agenda.share(number.to_bytes(32, "big"), (), partial=False, now=0.0, entry_at=None)
    go_out(agenda, 0.0)
    first = agenda.next_due()
    assert first is not None
    assert len(go_out(agenda, first)) == 100  # the jitter of one is no wider than what goes out together


def test_a_restart_makes_no_storm() -> None:
    agenda = Agenda(random.Random(1))
    step = TOGETHER * ENTRY_PERIOD / 10
    for number in range(100):
        agenda.share(number.to_bytes(32, "big"), ("w",), partial=False, now=0.0, entry_at=ENTRY_PERIOD / 2 + number)
    due = agenda.take_due(0.0)
    assert (len(due.providers), len(due.entries)) == (100, 0)
    assert len(agenda.take_due(ENTRY_PERIOD / 2).entries) == 100
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=step * 9)
    assert len(agenda.take_due(0.0).entries) == 1  # due soon: with the provider record that is due now


def test_a_due_time_from_a_clock_that_was_ahead_is_not_believed() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=1e9)
    assert agenda.take_due(ENTRY_PERIOD).entries


def test_below_quorum_it_is_tried_again_soon_then_less_often() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, (), partial=False, now=0.0, entry_at=None)
    waits = []
    for _ in range(8):
        now = agenda.next_due()
        assert now is not None
        (shared,) = go_out(agenda, now, quorum=False)
        waits.append(shared.provider_at - now)
    assert waits[:2] == [RETRY_SECONDS, 2 * RETRY_SECONDS]
    assert max(waits) == MAX_RETRY_SECONDS


def test_nothing_is_due_of_what_is_shared_no_more() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=None)
    assert agenda.unshare(A) is not None
    assert agenda.unshare(A) is None
    assert agenda.next_due() is None


def test_entries_of_an_earlier_life_keep_their_time_when_others_come() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=5000.0)
    agenda.share(B, ("w",), partial=False, now=0.0, entry_at=None)
    agenda.take_due(0.0)
    agenda.all_due(10.0)
    due = agenda.take_due(10.0)
    assert [shared.content_hash for shared in due.entries] == [B]
    assert [shared.content_hash for shared in due.providers] == [A, B]


def test_when_it_is_not_known_any_more_all_entries_are_due_but_those_under_way() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=None)
    agenda.take_due(0.0)
    agenda.share(B, ("w",), partial=False, now=0.0, entry_at=5000.0)
    agenda.entries_due(10.0)
    assert [shared.content_hash for shared in agenda.take_due(10.0).entries] == [B]


def test_words_that_a_content_lost_are_kept_in_mind_until_they_were_withdrawn_or_came_back() -> None:
    agenda = Agenda(random.Random(1))
    for words in (("a", "b"), ("b", "c"), ("c", "a")):
        agenda.share(A, words, partial=False, now=0.0, entry_at=None)
    shared = agenda.unshare(A)
    assert shared is not None
    assert shared.dropped == ("b",)


def test_what_was_shared_otherwise_since_it_was_taken_does_not_go_out() -> None:
    agenda = Agenda(random.Random(1))
    for content_hash in (A, B):
        agenda.share(content_hash, ("w",), partial=False, now=0.0, entry_at=None)
    due = agenda.take_due(0.0)
    agenda.share(A, ("other",), partial=False, now=0.0, entry_at=None)
    assert [shared.content_hash for shared in agenda.still_shared(due).entries] == [B]
    agenda.unshare(B)
    assert not agenda.still_shared(due)


def test_a_machine_that_slept_renews_what_became_due_meanwhile() -> None:
    agenda = Agenda(random.Random(1))
    agenda.share(A, ("w",), partial=False, now=0.0, entry_at=None)
    go_out(agenda, 0.0)
    agenda.share(B, (), partial=False, now=0.0, entry_at=None)
    agenda.take_due(0.0)
    agenda.elapsed(2 * PROVIDER_PERIOD)
    due = agenda.take_due(1.0)
    assert ([shared.content_hash for shared in due.providers], due.entries) == ([A], ())  # B is under way
    agenda.elapsed(ENTRY_PERIOD)
    assert [shared.content_hash for shared in agenda.take_due(1.0).entries] == [A]


class AgendaMachine(RuleBasedStateMachine):
    """The model: content → since when each of its records waits. Nothing is forgotten, nor taken twice."""

    @initialize(seed=st.integers(0, 9))
    def start(self, seed: int) -> None:
        self.agenda = Agenda(random.Random(seed))
        self.now = 0.0
        self.words: dict[bytes, bool] = {}
        self.under_way: list[Due] = []

    @rule(number=st.integers(0, 4), words=st.booleans(), at=st.none() | st.floats(0, 1e5))
    def share(self, number: int, words: bool, at: float | None) -> None:
        content_hash = bytes([number])
        self.words[content_hash] = words
        self.agenda.share(content_hash, ("w",) if words else (), partial=False, now=self.now, entry_at=at)

    @rule(number=st.integers(0, 4))
    def unshare(self, number: int) -> None:
        known = self.words.pop(bytes([number]), None)
        assert (self.agenda.unshare(bytes([number])) is not None) == (known is not None)

    @rule(seconds=st.floats(0, 50_000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(entries=st.booleans())
    def others_come(self, entries: bool) -> None:
        self.agenda.all_due(self.now, entries=entries)

    @rule()
    def take(self) -> None:
        due = self.agenda.take_due(self.now)
        assert all(shared.entry_at == UNDER_WAY for shared in due.entries)
        assert all(shared.provider_at == UNDER_WAY for shared in due.providers)
        if due:
            self.under_way.append(due)
            assert not self.agenda.take_due(self.now)

    @rule(quorum=st.booleans())
    def end(self, quorum: bool) -> None:
        if self.under_way:
            due = self.under_way.pop(0)
            for shared in {*due.providers, *due.entries}:
                provider, entry = shared in due.providers, shared in due.entries
                self.agenda.announced(shared, self.now, provider=provider, entry=entry, quorum=quorum)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert len(self.agenda) == len(self.words)
        assert (self.agenda.next_due() is None) == (not self.words)
        if not self.under_way and self.words:
            next_due = self.agenda.next_due()
            assert next_due is not None
            assert next_due <= self.now + PROVIDER_PERIOD, "a provider record waits an hour at most"


TestAgenda = AgendaMachine.TestCase
TestAgenda.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
