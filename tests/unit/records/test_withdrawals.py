"""Records are taken back from where they are, by one withdrawal, whatever some holders do meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from dhtshare.content.keys import content_key
from dhtshare.content.keywords import MAX_WORDS
from dhtshare.dht.messages import Body, Code, Failure
from dhtshare.dht.records.entry import Withdrawal
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.signing_clock import SigningClock
from dhtshare.dht.records.stores import Withdraw, verdicts_body
from dhtshare.dht.records.taking_back import KEYS_AT_ONCE
from dhtshare.dht.records.withdrawals import AT_ONCE, GONE_SECONDS, Withdrawals
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES, pack
from dhtshare.network import Address
from tests.unit.records.others import Holder, Others, silent, tell
from tests.unit.records.records_fakes import HOUR, NETWORK, content, entry, key, withdrawal

CLAIM = ProviderClaim(5000, b"peerpeer")
OUR_ADDRESS = Address("10.9.9.9", 4470)
PLACE = content_key(NETWORK, content(1))


class Signer:
    """Signs withdrawals with growing sequence numbers."""

    def __init__(self) -> None:
        self.signed: list[Withdrawal] = []

    def __call__(self, content_hash: bytes) -> bytes:
        number = int.from_bytes(content_hash, "big")
        self.signed.append(withdrawal(number, sequence=len(self.signed) + 1))
        return self.signed[-1].raw


def withdrawals(others: Others, sign: Signer | None = None) -> Withdrawals:
    clock = SigningClock([others.holding], others.wall, others.loop.time)
    return Withdrawals([others.holding], NETWORK, sign or Signer(), clock)


def keeps(holder: Holder, *words: str) -> None:
    """Our entry under these words, and that we provide it."""
    now = holder.others.loop.time()
    made = entry(1, words=words)
    holder.store.put_entry(made, range(len(words)), b"net", now=now, wall=holder.others.wall())
    holder.store.put_provider(PLACE, OUR_ADDRESS, CLAIM, now=now)


def is_withdrawn(holder: Holder, word: str) -> bool:
    return all(word.encode() not in held.raw for held in holder.store.set_of(key(word)))


def test_everywhere_and_at_once_and_here_first() -> None:
    async def story(others: Others) -> None:
        holders = [others.holder() for _ in range(5)]
        for holder in holders:
            keeps(holder, "musica", "nova")
        others.holding.own[PLACE] = CLAIM
        others.holding.store.put_entry(entry(1, words=("musica", "nova")), [0, 1], b"", now=0.0, wall=others.wall())
        task = asyncio.create_task(withdrawals(others).content(content(1), ("musica", "nova")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not others.holding.own, "whatever others say"
        assert not any(b"musica" in held.raw for held in others.holding.store.set_of(key("musica")))
        assert await task == 10
        assert all(is_withdrawn(holder, "musica") and is_withdrawn(holder, "nova") for holder in holders)
        assert not any(holder.store.providers.live(PLACE, others.loop.time()) for holder in holders)

    tell(story)


def test_a_content_without_words_is_signed_nothing_and_no_longer_provided() -> None:
    async def story(others: Others) -> None:
        sign, holder = Signer(), others.holder()
        keeps(holder, "musica")
        assert await withdrawals(others, sign).content(content(1), ()) == 0
        assert sign.signed == []
        assert not holder.store.providers.live(PLACE, others.loop.time())
        assert not is_withdrawn(holder, "musica")

    tell(story)


def test_words_that_were_lost_go_and_the_content_is_still_provided() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        keeps(holder, "musica")
        others.holding.own[PLACE] = CLAIM
        await withdrawals(others).words(content(1), withdrawal(1).raw, ("musica",))
        assert is_withdrawn(holder, "musica")
        assert holder.store.providers.live(PLACE, others.loop.time())
        assert others.holding.own == {PLACE: CLAIM}

    tell(story)


def test_who_never_had_it_is_no_ack_and_keeps_nothing() -> None:
    async def story(others: Others) -> None:
        holder, without = others.holder(), others.holder()
        keeps(holder, "musica")
        assert await withdrawals(others).content(content(1), ("musica", "nova")) == 1
        assert without.store.counts().withdrawals == 0

    tell(story)


@pytest.mark.parametrize(
    "answer", [silent, lambda _method, _body: {2: b""}, lambda _method, _body: Failure(Code.REFUSED)]
)
def test_holders_that_do_not_answer_well_are_no_acks_and_stop_nothing(answer: object) -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        keeps(holder, "musica")

        def found_and_then_bad(method: int, body: Body) -> Body:
            return {} if method < 16 else answer(method, body)  # type: ignore[operator,no-any-return]

        for _ in range(3):
            others.know(found_and_then_bad)
        assert await withdrawals(others).content(content(1), ("musica",)) == 1

    tell(story)


def test_alone_it_is_withdrawn_here_and_nobody_is_asked() -> None:
    async def story(others: Others) -> None:
        others.holding.store.put_entry(entry(1), [0], b"", now=0.0, wall=others.wall())
        assert await withdrawals(others).content(content(1), ("musica",)) == 0
        assert others.holding.store.counts().withdrawals == 1
        assert others.asked == []

    tell(story)


def test_many_words_fit_their_datagrams() -> None:
    async def story(others: Others) -> None:
        words = [f"word{number}" for number in range(2 * MAX_WORDS)]
        holder = others.holder()
        keeps(holder, *words[:20])
        assert await withdrawals(others).content(content(1), words) == 20
        bodies = [body for _, body in others.calls(RecordMethod.WITHDRAW)]
        assert [len(Withdraw.read(body).items[0][1]) for body in bodies] == [KEYS_AT_ONCE, len(words) - KEYS_AT_ONCE]
        assert all(len(pack(body)) + 100 <= MAX_DATAGRAM_BYTES for body in bodies)

    tell(story)


def test_few_contents_are_taken_back_side_by_side() -> None:
    async def story(others: Others) -> None:
        for _ in range(4):
            others.holder()
        mine = withdrawals(others)
        await asyncio.gather(*(mine.content(content(number), ("musica",)) for number in range(60)))
        assert others.most_under_way <= 2 * 4 * AT_ONCE  # to each holder a withdrawal and a `gone` of each

    tell(story)


@pytest.mark.parametrize("times", [1, 99])
def test_what_a_wrong_clock_signed_is_signed_once_more_and_no_oftener(times: int) -> None:
    async def story(others: Others) -> None:
        sign, left, said = Signer(), [times], [0.0]

        def corrects(method: int, _body: Body) -> Body:
            if method != RecordMethod.WITHDRAW:
                return {2: 0}
            if left[0]:
                left[0] -= 1
                said[0] += 10 * HOUR
                others.holding.clock._offsets = {bytes([number]): said[0] for number in range(5)}
                return verdicts_body([Verdict.EXPIRED])
            return verdicts_body([Verdict.STORED])

        others.know(corrects)
        acks = await withdrawals(others, sign).content(content(1), ("musica",))
        assert len(sign.signed) == 2
        assert acks == (1 if times == 1 else 0)

    tell(story)


def test_nothing_is_provided_any_more_is_said_once_to_each_who_keeps_something() -> None:
    async def story(others: Others) -> None:
        holders = [others.holder() for _ in range(4)]
        stranger = others.holder()
        mine = withdrawals(others)
        for _ in range(3):
            mine.provided(others.holding, [holder.contact for holder in holders])
        for holder in holders:
            keeps(holder, "musica")
        others.holding.own[PLACE] = CLAIM
        await mine.providers(others.holding)
        told = Counter(contact for contact, body in others.calls(RecordMethod.GONE) if body == {})
        assert told == Counter(holder.contact for holder in holders)
        assert stranger.contact not in told
        assert not others.holding.own
        assert not any(holder.store.providers.live(PLACE, others.loop.time()) for holder in holders)
        await mine.providers(others.holding)
        await mine.leave()
        assert sum(told.values()) == len(others.calls(RecordMethod.GONE)), "they know it"

    tell(story)


def test_leaving_waits_for_no_busy_holder() -> None:
    async def story(others: Others) -> None:
        busy = others.know(lambda _method, _body: Failure(Code.BUSY, 60))
        mine = withdrawals(others)
        mine.provided(others.holding, [busy])
        began = others.loop.time()
        await mine.leave()
        assert others.loop.time() - began == pytest.approx(GONE_SECONDS)

    tell(story)
