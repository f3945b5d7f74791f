"""Who may connect, how the two sides meet, and that nobody can hurt a node by what it says."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
from pathlib import Path

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import content_hash
from dhtshare.errors import IntegrityError, NetworkError, NotFoundError
from dhtshare.identity import SigningKey
from dhtshare.network import Address, ScopeRules, network_id
from dhtshare.transfer.codec import encode
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.messages import (
    MAX_REQUESTS_IN_FLIGHT,
    Ask,
    Cancel,
    Choke,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    Has,
    Hello,
    Ping,
    Reason,
    Refused,
    Unchoke,
)
from dhtshare.transfer.ratelimit import Limits
from tests.unit.transfer.raw_peer import RawPeer, claim_all, dialled, serving
from tests.unit.transfer.transfer_fakes import NETWORK, FileOffer, Shelf, describe, peer

MIB = 1 << 20
DATA = random.Random(11).randbytes(3 * MIB + 5)
DESCRIPTOR = describe(DATA)
CONTENT = DESCRIPTOR.content_hash
PUBLIC = ScopeRules([ipaddress.ip_network("127.0.0.0/8")])


@pytest.fixture
def offer(tmp_path: Path) -> FileOffer:
    path = tmp_path / "served.bin"
    path.write_bytes(DATA)
    return FileOffer(path, DESCRIPTOR)


# Meeting.


async def test_a_plain_listener_proves_its_peer_id(offer: FileOffer) -> None:
    async with peer(offer, seed=5) as (_, address), peer(seed=6) as (fetcher, _own):
        key = SigningKey.from_seed((5).to_bytes(32, "big")).public
        has = await fetcher.ask_have(PeerAddress(address, key), CONTENT)
        assert has.peer_id == key
        with pytest.raises(IntegrityError):
            await fetcher.ask_have(PeerAddress(address, b"x" * 32), CONTENT)
        assert (await fetcher.ask_have(PeerAddress(address, b"12345678"), CONTENT)).complete  # only noted


async def test_tls_in_a_global_scope_proves_it_too(offer: FileOffer) -> None:
    async with (
        peer(offer, seed=5, rules=PUBLIC) as (seed, address),
        peer(seed=6, rules=PUBLIC) as (fetcher, _own),
    ):
        key = SigningKey.from_seed((5).to_bytes(32, "big")).public
        assert (await fetcher.ask_have(PeerAddress(address, key), CONTENT)).peer_id == key
        assert [info.encrypted for info in fetcher.peers()] == [True]
        assert [info.encrypted for info in seed.peers()] == [True]
        with pytest.raises(IntegrityError):
            await fetcher.ask_have(PeerAddress(address, b"x" * 32), CONTENT)


async def test_a_false_proof_is_refused() -> None:
    async def impostor(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.say(Hello(NETWORK, b"n" * 16, "", b"k" * 32, b"p" * 64))
        await raw.ended()

    async with serving(impostor) as address, peer() as (fetcher, _own):
        with pytest.raises(NetworkError):
            await fetcher.ask_have(PeerAddress(address), CONTENT, timeout=0.5)


async def test_never_on_both_sides_is_plain_in_a_global_scope(offer: FileOffer) -> None:
    async with (
        peer(offer, rules=PUBLIC, encryption="never") as (_, address),
        peer(seed=2, rules=PUBLIC, encryption="never") as (fetcher, _own),
    ):
        assert (await fetcher.ask_have(PeerAddress(address), CONTENT)).complete
        assert [info.encrypted for info in fetcher.peers()] == [False]


async def test_never_on_one_side_is_encrypted(offer: FileOffer) -> None:
    async with (
        peer(offer, rules=PUBLIC) as (_, wants_tls),
        peer(offer, seed=2, rules=PUBLIC, encryption="never") as (plain, takes_both),
        peer(seed=3, rules=PUBLIC) as (auto, _own),
    ):
        assert (await auto.ask_have(PeerAddress(takes_both), CONTENT)).complete
        assert [info.encrypted for info in auto.peers()] == [True]
        with pytest.raises(NetworkError):
            await plain.ask_have(PeerAddress(wants_tls), CONTENT)
        assert (await plain.ask_have(PeerAddress(wants_tls), CONTENT)).complete  # it learned
        assert [info.encrypted for info in plain.peers() if not info.incoming] == [True]


async def test_a_listener_that_wants_tls_says_so(offer: FileOffer) -> None:
    async with peer(offer, rules=PUBLIC) as (_, address), dialled(address) as raw:
        raw.hello()
        message, _ = await raw.hear()
        assert message == Refused(0, Reason.ENCRYPT)
        assert await raw.ended()


async def test_another_network_is_no_place_for_us(offer: FileOffer) -> None:
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello(network=network_id("elsewhere"))
        assert await raw.ended()


async def test_a_node_that_dials_itself_hangs_up(offer: FileOffer) -> None:
    async with peer(offer) as (exchange, address):
        with pytest.raises(NetworkError):
            await exchange.ask_have(PeerAddress(address), CONTENT, timeout=1.0)


async def test_low_ports_and_strange_addresses_are_not_dialled() -> None:
    async with peer(rules=PUBLIC) as (exchange, _own):
        for address in (Address("127.0.0.1", 25), Address("224.0.0.1", 4470), Address("0.0.0.0", 4470)):
            assert not exchange.may_dial(address)
            with pytest.raises(NetworkError):
                await exchange.ask_have(PeerAddress(address), CONTENT)
        assert exchange.may_dial(Address("127.0.0.1", 1024))


async def test_one_connection_serves_all_questions(offer: FileOffer) -> None:
    async with peer(offer) as (seed, address), peer(seed=2) as (fetcher, _own):
        answers = await asyncio.gather(*(fetcher.ask_have(PeerAddress(address), CONTENT) for _ in range(20)))
        assert all(has.complete for has in answers)
        assert seed.stats().connections == 1


# Being asked.


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, b"\xff" * 64, random.Random(5).randbytes(64), b"\x16garbage"]
)
async def test_garbage_ends_its_own_connection_only(offer: FileOffer, first: bytes) -> None:
    async with peer(offer) as (_, address), peer(seed=2) as (fetcher, _own), dialled(address) as raw:
        raw.writer.write(first)
        assert await raw.ended()
        assert (await fetcher.ask_have(PeerAddress(address), CONTENT)).complete


async def test_bytes_of_a_range_are_the_bytes_of_the_file(offer: FileOffer) -> None:
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        raw.say(Get(1, CONTENT, 1, 1000, 1, 500))
        raw.say(Get(2, CONTENT, 3, 5))
        message, payload = await raw.hear_a(Data)
        assert (message, payload) == (Data(1), DATA[MIB + 500 : MIB + 1500])
        message, payload = await raw.hear_a(Data)
        assert (message, payload) == (Data(2), DATA[3 * MIB :])


@pytest.mark.parametrize(
    "get",
    [
        Get(1, b"u" * 32, 0, 5),  # a content that is not here
        Get(1, CONTENT, 4, 5),  # behind the last chunk
        Get(1, CONTENT, 3, 6),  # longer than the last chunk
        Get(1, CONTENT, 0, MIB, 1, 1),  # over the end of a chunk
        Get(1, CONTENT, 2, 5, 2),  # a run whose length is not its own
        Get(1, CONTENT, 2, MIB, 3),  # a run over the end
    ],
)
async def test_what_cannot_be_given_is_refused(offer: FileOffer, get: Get) -> None:
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        raw.say(get)
        message, _ = await raw.hear_a(Refused)
        assert message == Refused(1, Reason.NOT_FOUND)


async def test_a_file_that_is_gone_is_refused_and_the_connection_lives(offer: FileOffer) -> None:
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        offer.path.unlink()
        raw.say(Get(1, CONTENT, 0, MIB))
        assert (await raw.hear_a(Refused))[0] == Refused(1, Reason.NOT_FOUND)
        raw.say(Ask(2, CONTENT))
        assert isinstance((await raw.hear_a(Has))[0], Has)


async def test_a_file_that_became_shorter_ends_the_connection_not_the_node(offer: FileOffer) -> None:
    os.truncate(offer.path, MIB + 100)
    async with peer(offer) as (_, address):
        async with dialled(address) as raw:
            raw.hello()
            raw.say(Get(1, CONTENT, 1, MIB))
            assert await raw.ended()
        async with dialled(address) as raw:
            raw.hello()
            raw.say(Get(1, CONTENT, 0, MIB))
            assert (await raw.hear_a(Data))[1] == DATA[:MIB]


async def test_a_partial_seed_refuses_what_it_lacks(offer: FileOffer) -> None:
    offer.have = Bitfield(4, [2])
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        raw.say(Ask(1, CONTENT))
        message, payload = await raw.hear_a(Has)
        assert (message, payload) == (Has(1, 4, 1, "served.bin", len(offer.descriptor)), b"\x04")
        raw.say(Get(2, CONTENT, 1, MIB))
        assert (await raw.hear_a(Refused))[0] == Refused(2, Reason.NOT_FOUND)
        raw.say(Get(3, CONTENT, 2, MIB))
        assert (await raw.hear_a(Data))[1] == DATA[2 * MIB : 3 * MIB]


async def test_a_withdrawn_request_is_answered_once(offer: FileOffer) -> None:
    async with peer(offer, upload=MIB) as (_, address), dialled(address) as raw:
        raw.hello()
        for number in (1, 2, 3):
            raw.say(Get(number, CONTENT, number - 1, MIB))
        raw.say(Cancel(2))
        raw.say(Cancel(77))
        answers = [(await raw.hear_a((Data, Refused)))[0] for _ in range(3)]  # type: ignore[arg-type]
        assert sorted(answers, key=lambda answer: answer.request) == [  # type: ignore[union-attr]
            Data(1),
            Refused(2, Reason.CANCELLED),
            Data(3),
        ]


async def test_a_message_of_the_future_is_answered_as_unsupported(offer: FileOffer) -> None:
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        header = b"\x83\x00\x01\x02\xcc\xc8\x04\x05"  # {0: 1, 2: 200, 4: 5}
        raw.writer.write(len(header).to_bytes(4, "big") + bytes(4) + header)
        assert (await raw.hear_a(Refused))[0] == Refused(5, Reason.UNSUPPORTED)


async def test_more_questions_than_allowed_are_the_askers_fault(offer: FileOffer) -> None:
    async with peer(offer, upload=1000) as (_, address), dialled(address) as raw:
        raw.hello()
        for number in range(1, MAX_REQUESTS_IN_FLIGHT + 3):
            raw.say(Get(number, CONTENT, 0, MIB))
        assert await raw.ended()


async def test_who_never_says_hello_is_shown_out(offer: FileOffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.transfer.doorway.HANDSHAKE_SECONDS", 0.3)
    async with peer(offer) as (exchange, address):
        async with dialled(address) as silent, dialled(address) as half:
            half.writer.write(b"\x00")
            assert await silent.ended()
            assert await half.ended()
        assert exchange.stats().connections == 0


async def test_half_a_frame_holds_no_place(offer: FileOffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.transfer.half_frame.STANDSTILL_SECONDS", 0.3)
    async with peer(offer) as (exchange, address), dialled(address) as whole, dialled(address) as half:
        for raw in (whole, half):
            raw.hello()
            raw.say(Ask(1, CONTENT))
            await raw.hear_a(Has)
        half.writer.write(encode(Ask(2, CONTENT))[:-1])
        assert await half.ended()
        whole.say(Ask(2, CONTENT))
        await whole.hear_a(Has)
        assert exchange.stats().connections == 1


async def test_half_an_answer_ends_the_connection_that_we_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.transfer.half_frame.STANDSTILL_SECONDS", 0.3)
    ended = asyncio.Event()

    async def half(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        ask, _ = await raw.hear_a(Ask)
        assert isinstance(ask, Ask)
        raw.writer.write(encode(Has(ask.request, 9, 3, "", 100), 2) + b"\xff")
        if await raw.ended():
            ended.set()

    async with serving(half) as address, peer() as (fetcher, _own):
        with pytest.raises(NetworkError, match="does not go on"):
            await fetcher.ask_have(PeerAddress(address), CONTENT, timeout=5.0)
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_full_house_shows_out_the_idle_not_the_working(
    offer: FileOffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dhtshare.transfer.guests.MAX_PER_IP", 2)
    house = peer(offer, rules=PUBLIC, encryption="never", upload=400_000)
    async with house as (_, address), dialled(address) as working, dialled(address) as idle:
        for raw in (working, idle):
            raw.hello()
            await raw.hear_a(Hello)
        working.say(Get(1, CONTENT, 0, 200_000))
        working.say(Ping())
        await asyncio.sleep(0.05)
        async with dialled(address) as third:
            third.hello()
            await third.hear_a(Hello)
            assert await idle.ended()
            assert (await working.hear_a(Data))[1] == DATA[:200_000]


async def test_slots_are_bounded_and_come_free(offer: FileOffer) -> None:
    async with peer(offer, upload=200_000) as (exchange, address):
        exchange._seeder._choker.slots = 1
        async with dialled(address) as one, dialled(address) as two, dialled(address) as three:
            for raw in (one, two):
                raw.hello()
                raw.say(Get(1, CONTENT, 0, MIB))
                await raw.hear_a(Hello)
            await asyncio.sleep(0.05)
            three.hello()
            three.say(Get(1, CONTENT, 0, 100))
            assert isinstance((await three.hear_a(Choke))[0], Choke)
            assert (await three.hear_a(Refused))[0] == Refused(1, Reason.CHOKED)
            one.writer.close()
            await three.hear_a(Unchoke)
            three.say(Get(2, CONTENT, 0, 100))
            assert (await three.hear_a(Data))[1] == DATA[:100]


# Asking.


async def test_an_answer_nobody_asked_for_ends_the_connection() -> None:
    async def answers(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        raw.say(Data(999), b"unasked")
        await raw.ended()

    async with serving(answers) as address, peer() as (fetcher, _own):
        with pytest.raises(NetworkError):
            await fetcher.ask_have(PeerAddress(address), CONTENT, timeout=0.5)


async def test_a_lying_bitfield_is_the_peers_fault() -> None:
    async def lies(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        ask, _ = await raw.hear_a(Ask)
        assert isinstance(ask, Ask)
        raw.say(Has(ask.request, 9, 3, "", 100), b"\xff\xff")
        await raw.ended()

    async with serving(lies) as address, peer() as (fetcher, _own):
        with pytest.raises(NetworkError):
            await fetcher.ask_have(PeerAddress(address), CONTENT)


async def test_a_false_descriptor_bans_its_sender_and_the_right_one_is_taken(offer: FileOffer) -> None:
    async def lies(raw: RawPeer) -> None:
        await claim_all(raw, 4)
        get, _ = await raw.hear_a(GetDescriptor)
        assert isinstance(get, GetDescriptor)
        raw.say(Descriptor(get.request, 9), b"not these")
        await raw.ended()

    async with serving(lies) as liar, peer(offer) as (_, honest), peer(seed=2) as (fetcher, _own):
        with pytest.raises(IntegrityError):
            await fetcher.fetch_descriptor(CONTENT, [PeerAddress(liar)])
        assert not fetcher.may_dial(liar)
        found = await fetcher.fetch_descriptor(CONTENT, [PeerAddress(liar), PeerAddress(honest)])
        assert found.raw == DESCRIPTOR.encode()


async def test_a_long_descriptor_comes_in_ranges(tmp_path: Path) -> None:
    big = describe(b"")  # its bytes stand in for a descriptor of many ranges: the hunt compares hashes alone
    offer = FileOffer(tmp_path / "x", big)
    offer.descriptor = random.Random(1).randbytes(300_000)
    offer.content_hash = content_hash(offer.descriptor)
    async with peer(offer) as (_, address), peer(seed=2) as (fetcher, _own):
        found = await fetcher.fetch_descriptor(offer.content_hash, [PeerAddress(address)])
        assert found.raw == offer.descriptor


async def test_nobody_to_ask_and_nobody_who_holds_it(offer: FileOffer) -> None:
    async with peer(offer) as (_, address), peer(seed=2) as (fetcher, _own):
        with pytest.raises(NotFoundError):
            await fetcher.fetch_descriptor(CONTENT, [])
        with pytest.raises(NotFoundError):
            await fetcher.fetch_descriptor(b"?" * 32, [PeerAddress(address)])


async def test_what_stops_leaves_no_task_and_no_thread(offer: FileOffer) -> None:
    before = asyncio.all_tasks()
    async with peer(offer) as (_, address), peer(seed=2) as (fetcher, _own):
        await fetcher.ask_have(PeerAddress(address), CONTENT)
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before
    with pytest.raises(NetworkError):
        await fetcher.ask_have(PeerAddress(address), CONTENT)


def test_an_exchange_is_made_outside_a_loop() -> None:
    Exchange(
        network=NETWORK,
        key=SigningKey.from_seed(bytes(32)),
        rules=ScopeRules(),
        shelf=Shelf(),
        limits=Limits(),
        rng=random.Random(1),
    )
