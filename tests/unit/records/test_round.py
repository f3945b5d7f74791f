"""One round of announcing: who is offered what, what a receipt then says, who is asked when it is read back."""

from __future__ import annotations

from collections import Counter

import pytest

from dhtshare.content.keys import content_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, Method
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.read_back import ASKED_HOLDERS, BUNDLE, SINGLY_AT_MOST
from dhtshare.dht.records.receipts import ReceiptTally
from dhtshare.dht.records.round import Round
from dhtshare.dht.records.stores import Check, StoreEntries, StoreProviders, verdicts_body
from dhtshare.network import Address
from tests.unit.records.others import Answering, Others, silent, tell
from tests.unit.records.records_fakes import NETWORK, content, entry, key

CLAIM = ProviderClaim(5000, b"peerpeer")


def closest(others: Others, target: bytes, count: int) -> set[Contact]:
    return set(sorted(others.answers, key=lambda contact: contact.distance_to(target))[:count])


def test_a_record_goes_to_its_closest_and_to_as_many_as_it_wants() -> None:
    async def story(others: Others) -> None:
        holders = [others.holder() for _ in range(35)]
        work, tally = Round(others.holding, NETWORK), ReceiptTally()
        work.provide(content(1), CLAIM, tally)
        work.enter(entry(1, words=("musica", "nova")), tally)
        await work.announce()
        target = content_key(NETWORK, content(1))
        stored = {contact for contact, _ in others.calls(RecordMethod.STORE_PROVIDERS)}
        assert stored == closest(others, target, PROVIDER_TARGET) == work.provider_holders
        for number, word in enumerate(("musica", "nova")):
            having = {holder.contact for holder in holders if holder.store.set_of(key(word))}
            assert having == closest(others, key(word), ENTRY_TARGET), number
        receipt = tally.receipt(0.0)
        assert (receipt.keys, receipt.acks, receipt.quorum) == (3, PROVIDER_TARGET + 2 * ENTRY_TARGET, True)
        assert receipt.verified == 0  # nobody was asked to show it

    tell(story)


def finds(others: Others) -> list[bytes]:
    """The keys that were looked up as a searcher does."""
    return [key for key, method in others.walked if method != Method.FIND_NODE]


def shared(others: Others, count: int) -> tuple[Round, list[ReceiptTally]]:
    """A round with so many provider records to be read back."""
    work, tallies = Round(others.holding, NETWORK), [ReceiptTally() for _ in range(count)]
    for number, tally in enumerate(tallies):
        work.provide(content(number), CLAIM, tally, read_back=True)
    return work, tallies


def yes_to_all(method: int, body: Body) -> Body:
    """A holder that says to keep everything, and that it does, and keeps nothing."""
    if method == RecordMethod.STORE_PROVIDERS:
        return verdicts_body([Verdict.STORED] * len(StoreProviders.read(body).keys))
    if method == RecordMethod.CHECK:
        return {2: b"\1" * len(Check.read(body).keys)}
    return {}


def forgets(method: int, body: Body) -> Body:
    """A holder that says to keep everything, and keeps nothing."""
    return {2: bytes(len(Check.read(body).keys))} if method == RecordMethod.CHECK else yes_to_all(method, body)


def test_a_record_alone_is_looked_up_as_a_searcher_does_and_nobody_is_asked_what_it_keeps() -> None:
    async def story(others: Others) -> None:
        for _ in range(25):
            others.holder()
        work, (tally,) = shared(others, 1)
        await work.announce()
        await work.read_back()
        assert finds(others) == [content_key(NETWORK, content(0))]
        assert others.calls(RecordMethod.CHECK) == []
        assert tally.receipt(0.0).read_back

    tell(story)


def test_an_entry_is_looked_up_by_all_its_words() -> None:
    async def story(others: Others) -> None:
        for _ in range(25):
            others.holder()
        work, tally = Round(others.holding, NETWORK), ReceiptTally()
        work.enter(entry(1, words=("musica",)), tally, read_back=True)
        await work.announce()
        await work.read_back()
        assert finds(others) == [key("musica")]
        assert tally.receipt(0.0).read_back

    tell(story)


def test_of_many_in_a_region_one_of_each_bundle_is_looked_up_and_a_few_holders_show_the_others() -> None:
    async def story(others: Others) -> None:
        for _ in range(25):
            others.holder()
        work, tallies = shared(others, 3 * BUNDLE)
        await work.announce()
        await work.read_back()
        assert len(finds(others)) == 3
        assert len(others.calls(RecordMethod.CHECK)) <= 5
        assert all(tally.receipt(0.0).read_back for tally in tallies)

    tell(story)


def test_a_holder_that_lost_a_record_is_found_out_and_another_is_asked() -> None:
    async def story(others: Others) -> None:
        for number in range(20):
            if number % 2:
                others.holder()
            else:
                others.know(forgets)
        work, tallies = shared(others, BUNDLE)
        await work.announce()
        await work.read_back()
        asked = Counter(one for _, body in others.calls(RecordMethod.CHECK) for one in Check.read(body).keys)
        assert max(asked.values()) <= ASKED_HOLDERS
        shown = sum(tally.receipt(0.0).read_back for tally in tallies)
        assert shown >= 1, "the one that was looked up"

    tell(story)


@pytest.mark.parametrize("liar", [forgets, yes_to_all])
@pytest.mark.parametrize("count", [1, BUNDLE, 5 * BUNDLE])
def test_where_all_holders_lie_nothing_is_read_back_whatever_they_show_to_the_publisher(
    liar: Answering, count: int
) -> None:
    async def story(others: Others) -> None:
        for _ in range(22):
            others.know(liar)
        work, tallies = shared(others, count)
        await work.announce()
        await work.read_back()
        assert all(tally.receipt(0.0).quorum for tally in tallies)
        assert not any(tally.keys[0].verified for tally in tallies)
        assert len(finds(others)) <= -(-count // BUNDLE) + SINGLY_AT_MOST

    tell(story)


def test_one_record_that_is_not_found_leaves_the_others_of_its_bundle_to_be_looked_up() -> None:
    async def story(others: Others) -> None:
        holders = [others.holder() for _ in range(22)]
        work, tallies = shared(others, BUNDLE)
        await work.announce()
        lost = content_key(NETWORK, content(7))
        for holder in holders:
            holder.store.providers.gone(Address("10.9.9.9", 4470), [lost])
        others.dht.rng.choice = lambda bundle: bundle[
            sorted(  # type: ignore[method-assign,assignment]
                content_key(NETWORK, content(number)) for number in range(BUNDLE)
            ).index(lost)
        ]
        await work.read_back()
        assert [number for number, tally in enumerate(tallies) if not tally.keys[0].verified] == [7]

    tell(story)


def test_only_what_was_acknowledged_and_is_asked_for_is_read_back() -> None:
    async def story(others: Others) -> None:
        def refuses_entries(method: int, body: Body) -> Body:
            if method == RecordMethod.STORE_ENTRIES:
                count = sum(len(numbers) for _, numbers in StoreEntries.read(body).items)
                return verdicts_body([Verdict.STALE] * count)
            return yes_to_all(method, body)

        for _ in range(5):
            others.know(refuses_entries)
        work = Round(others.holding, NETWORK)
        chosen, other = ReceiptTally(), ReceiptTally()
        work.provide(content(1), CLAIM, chosen, read_back=True)
        work.enter(entry(1), chosen, read_back=True)
        work.provide(content(2), CLAIM, other)
        await work.announce()
        await work.read_back()
        assert finds(others) == [content_key(NETWORK, content(1))]
        assert others.calls(RecordMethod.CHECK) == []

    tell(story)


def test_nobody_there_is_no_failure_and_asks_nobody() -> None:
    async def story(others: Others) -> None:
        work, tally = Round(others.holding, NETWORK), ReceiptTally()
        work.provide(content(1), CLAIM, tally, read_back=True)
        await work.announce()
        await work.read_back()
        assert tally.receipt(0.0).alone
        assert others.asked == []

    tell(story)


def test_a_round_without_anything_looks_nothing_up() -> None:
    async def story(others: Others) -> None:
        others.holder()
        await Round(others.holding, NETWORK).announce()
        assert others.asked == []

    tell(story)


def test_holders_that_are_dead_or_lie_leave_it_below_quorum() -> None:
    async def story(others: Others) -> None:
        nonsense: Answering = lambda _method, _body: {2: b"nonsense"}  # noqa: E731
        for number in range(9):
            if number < 4:
                others.holder()
            else:
                others.know(nonsense)
        work, tally = Round(others.holding, NETWORK), ReceiptTally()
        work.enter(entry(1), tally)
        await work.announce()
        receipt = tally.receipt(0.0)
        assert (receipt.acks, receipt.quorum, receipt.weakest) == (4, False, (4, 9))

    tell(story)


def test_a_crowded_region_is_offered_it_twice_as_widely() -> None:
    async def story(others: Others) -> None:
        others.suspicious = True
        for _ in range(30):
            others.holder()
        work, tally = Round(others.holding, NETWORK), ReceiptTally()
        work.enter(entry(1), tally)
        await work.announce()
        assert tally.keys[0].acks == 2 * ENTRY_TARGET
        assert tally.receipt(0.0).weakest == (ENTRY_TARGET, ENTRY_TARGET)

    tell(story)


def test_each_holder_is_asked_once_for_all_that_goes_there() -> None:
    async def story(others: Others) -> None:
        for _ in range(4):
            others.holder()
        others.know(silent)
        work = Round(others.holding, NETWORK)
        tallies = [ReceiptTally() for _ in range(30)]
        for number, tally in enumerate(tallies):
            work.provide(content(number), CLAIM, tally)
        await work.announce()
        per_holder = Counter(contact for contact, _ in others.calls(RecordMethod.STORE_PROVIDERS))
        assert set(per_holder.values()) == {1}  # 30 keys are one datagram
        assert all(tally.receipt(0.0).quorum for tally in tallies)

    tell(story)
