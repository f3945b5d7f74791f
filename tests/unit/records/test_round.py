"""One round of announcing: who is offered what, what a receipt then says, who is asked when it is read back."""

from __future__ import annotations

from collections import Counter

from dhtshare.content.keys import content_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.receipts import ReceiptTally
from dhtshare.dht.records.round import READ_BACK_AT, Round
from dhtshare.dht.records.stores import StoreEntries, StoreProviders, verdicts_body
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


def test_it_is_read_back_at_the_few_closest_that_a_fresh_lookup_names() -> None:
    async def story(others: Others) -> None:
        for _ in range(25):
            others.holder()
        work, tally = Round(others.holding, NETWORK), ReceiptTally()
        work.provide(content(1), CLAIM, tally)
        await work.announce()
        await work.read_back([tally])
        asked = {contact for contact, _ in others.calls(RecordMethod.CHECK)}
        assert asked == closest(others, content_key(NETWORK, content(1)), READ_BACK_AT)
        assert tally.receipt(0.0).read_back

    tell(story)


def test_only_what_was_acknowledged_and_is_asked_for_is_read_back() -> None:
    async def story(others: Others) -> None:
        def refuses_entries(method: int, body: Body) -> Body:
            if method == RecordMethod.STORE_ENTRIES:
                count = sum(len(numbers) for _, numbers in StoreEntries.read(body).items)
                return verdicts_body([Verdict.STALE] * count)
            if method == RecordMethod.STORE_PROVIDERS:
                return verdicts_body([Verdict.STORED] * len(StoreProviders.read(body).keys))
            return {2: b"\1"}

        for _ in range(5):
            others.know(refuses_entries)
        work = Round(others.holding, NETWORK)
        chosen, other = ReceiptTally(), ReceiptTally()
        work.provide(content(1), CLAIM, chosen)
        work.enter(entry(1), chosen)
        work.provide(content(2), CLAIM, other)
        await work.announce()
        await work.read_back([chosen])
        assert [one.verified for one in chosen.keys] == [True, False]
        assert not any(one.verified for one in other.keys)
        assert len(others.calls(RecordMethod.CHECK)) == READ_BACK_AT
        await work.read_back([])
        assert len(others.calls(RecordMethod.CHECK)) == READ_BACK_AT

    tell(story)


def test_nobody_there_is_no_failure_and_asks_nobody() -> None:
    async def story(others: Others) -> None:
        work, tally = Round(others.holding, NETWORK), ReceiptTally()
        work.provide(content(1), CLAIM, tally)
        await work.announce()
        await work.read_back([tally])
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
