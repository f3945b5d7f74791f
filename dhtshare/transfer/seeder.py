"""Serves what is on the shelf: answers requests, gives slots, tells followers of new chunks.

Never reads a file on the event loop: answers are queued and made in threads when their turn comes.
"""

from __future__ import annotations

import random
from functools import partial

from dhtshare.errors import NetworkError
from dhtshare.transfer.answers import LaterAnswer, MadeAnswer, answer_to
from dhtshare.transfer.choker import ROUND_SECONDS, Choker, Facts
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.gifts import Gifts
from dhtshare.transfer.messages import (
    DESCRIPTOR_RANGE_BYTES,
    MAX_BITFIELD_CHUNKS,
    MAX_NAME_BYTES,
    MAX_PAYLOAD_BYTES,
    Ask,
    Choke,
    Descriptor,
    Get,
    GetDescriptor,
    GetMembers,
    Given,
    Has,
    Have,
    Members,
    Message,
    Reason,
    Refused,
    Request,
    Unchoke,
)
from dhtshare.transfer.ports import Offer, Shelf
from dhtshare.transfer.runs import runs_of

STUCK_SECONDS = 3.0
"""While others wait, a peer that has a slot and takes no byte for so long frees it, until it reads again."""

HAVE_SECONDS = 0.1
"""Chunks verified within this time are told of together."""

IDLE_SLOT_SECONDS = 2.0
GIVEN_SECONDS = 0.01
"""What is given within this time is told of together: the sooner, the fewer ask for the same."""


class Seeder:
    """The serving side of all connections of an exchange."""

    def __init__(self, shelf: Shelf, rng: random.Random) -> None:
        self._shelf = shelf
        self._choker: Choker[Connection] = Choker(rng)
        self._asked_data: dict[Connection, float] = {}
        self._followers: dict[bytes, set[Connection]] = {}
        self._news: dict[bytes, list[int]] = {}
        self._gifts: Gifts[Connection] = Gifts()
        self._untold: dict[tuple[bytes, Connection], list[int]] = {}
        self._offered: set[Connection] = set()
        self._overdue: set[Connection] = set()
        """Who was told of a free slot since the last sweep, and before it, and has not come."""
        self._next_round = 0.0

    def requested(self, connection: Connection, request: Request, now: float) -> None:
        """Answer, or queue the answer. Raises RemoteProtocolError when the peer asks for too much at once."""
        offer = self._shelf.offer(request.content)
        if offer is None:
            connection.send(Refused(request.request, Reason.NOT_FOUND))
            return
        match request:
            case Get():
                self._get(connection, request, offer, now)
            case Ask():
                if request.follow:
                    self._followers.setdefault(request.content, set()).add(connection)
                connection.answer(MadeAnswer(request.request, partial(_has, request, offer)))
            case GetDescriptor():
                connection.answer(MadeAnswer(request.request, partial(_descriptor, request, offer)))
            case GetMembers():
                connection.answer(MadeAnswer(request.request, partial(_members, request, offer)))

    def cancelled(self, connection: Connection, request: int) -> None:
        """The peer withdraws a request; it is refused unless its answer is under way."""
        connection.outbox.drop(lambda answer: answer.request == request, Reason.CANCELLED)

    def gone(self, connection: Connection) -> None:
        """The connection ended: its slot goes to who waits."""
        self._asked_data.pop(connection, None)
        for content, followers in list(self._followers.items()):
            followers.discard(connection)
            if not followers:
                del self._followers[content]
        self._choker.gone(connection)
        self._came(connection)
        self._offer_slots()

    def verified(self, content: bytes, chunk: int) -> None:
        """A chunk of a fetch of ours can be served now; followers hear of it within HAVE_SECONDS."""
        if content in self._followers:
            self._news.setdefault(content, []).append(chunk)

    @property
    def has_news(self) -> bool:
        """Whether `tell` has something to tell."""
        return bool(self._news or self._untold)

    def tell(self) -> None:
        """Tell followers what is new, and what the others among them are given."""
        news, self._news = self._news, {}
        for content, chunks in news.items():
            for runs in runs_of(chunks):
                message = Have(content, runs)
                for follower in list(self._followers.get(content, ())):
                    follower.send(message)
        self._tell_gifts()

    def _tell_gifts(self) -> None:
        gifts, self._untold = self._untold, {}
        for (content, taker), chunks in gifts.items():
            for runs in runs_of(chunks):
                gift = Given(content, runs)
                for follower in list(self._followers.get(content, ())):
                    if follower is not taker:
                        follower.send(gift)

    def _is_shared(self, get: Get, offer: Offer) -> bool:
        """A whole seed with several followers of this content: what one takes the others need not take here."""
        return offer.have is None and len(self._followers.get(get.content, ())) > 1

    def _is_elsewhere(self, connection: Connection, get: Get, now: float) -> bool:
        """Whether it should take something else first, and was told why."""
        if get.count > 1 or not self._gifts.is_elsewhere(
            connection, get.content, get.first, now, begins=not get.offset
        ):
            return False
        self._tell_gifts()
        return True

    def _note_gift(self, connection: Connection, get: Get, now: float) -> None:
        """One request of a chunk's parts is enough."""
        if not get.offset:
            chunks = range(get.first, get.first + get.count)
            self._untold.setdefault((get.content, connection), []).extend(chunks)
            for chunk in chunks:
                self._gifts.gave(connection, get.content, chunk, now)

    def round(self, now: float) -> None:
        """Called every second or so; every ROUND_SECONDS the slots are given anew, unused ones at once."""
        self._gifts.forget(now)
        stuck = self._free_unused_slots(now)
        if now < self._next_round:
            return
        self._next_round = now + ROUND_SECONDS
        facts = [
            Facts(
                connection,
                connection.choking or now - asked < ROUND_SECONDS or connection.outbox.queued_data > 0,
                connection.received.rate(now),
                connection.sent.rate(now),
            )
            for connection, asked in self._asked_data.items()
            if connection.is_open and connection not in stuck
        ]
        unchoked = self._choker.decide(facts)
        for connection in [facts.peer for facts in facts]:
            if connection in unchoked:
                self._unchoke(connection)
            elif connection.choking or connection.outbox.queued_data:
                self._choke(connection)

    def _free_unused_slots(self, now: float) -> set[Connection]:
        """Who has all it wanted, or takes nothing of it, holds no slot while others wait: they need not wait for the
        round. Returns those who take nothing."""
        stuck = {connection for connection in self._asked_data if connection.leaves_unread(STUCK_SECONDS)}
        if not self._choker.anybody_waits:
            return stuck
        for connection, asked in list(self._asked_data.items()):
            if not self._choker.is_unchoked(connection):
                continue
            if connection in stuck:
                self._choker.gone(connection)
                self._choke(connection)
            elif now - asked > IDLE_SLOT_SECONDS and connection.is_open and not connection.outbox.queued_data:
                self._lapse(connection)
        for connection in self._overdue:
            self._lapse(connection)
        self._overdue, self._offered = self._offered, set()
        self._offer_slots()
        return stuck

    def _offer_slots(self) -> None:
        """Tell some of those who wait that there are free slots."""
        for connection in self._choker.offers():
            self._offered.add(connection)
            self._unchoke(connection)

    def _lapse(self, connection: Connection) -> None:
        """It was told of a free slot, or has one, and does not come."""
        self._choker.gone(connection)
        self._asked_data.pop(connection, None)

    def _came(self, connection: Connection) -> None:
        """Whatever it was told of a free slot is over."""
        self._offered.discard(connection)
        self._overdue.discard(connection)

    def _get(self, connection: Connection, get: Get, offer: Offer, now: float) -> None:
        self._asked_data[connection] = now
        self._came(connection)
        if not self._choker.may_start(connection):
            self._choke(connection)
            connection.send(Refused(get.request, Reason.CHOKED))
        elif not offer.at_hand:
            connection.answer(LaterAnswer(get, offer))
        elif (answer := answer_to(get, offer)) is None:
            connection.send(Refused(get.request, Reason.NOT_FOUND))
        elif not self._is_shared(get, offer):
            connection.answer(answer)
        elif self._is_elsewhere(connection, get, now):
            connection.send(Refused(get.request, Reason.GIVEN))
        else:
            connection.answer(answer)
            self._note_gift(connection, get, now)

    def _choke(self, connection: Connection) -> None:
        if not connection.choking:
            connection.choking = True
            connection.send(Choke())
        try:
            connection.outbox.drop(lambda answer: answer.is_data, Reason.CHOKED)
        except NetworkError as error:
            connection.close(error)

    def _unchoke(self, connection: Connection) -> None:
        if connection.choking:
            connection.choking = False
            connection.send(Unchoke())


def _has(ask: Ask, offer: Offer) -> tuple[Message, bytes]:
    chunks, have = offer.layout.chunk_count, offer.have
    held = chunks if have is None else len(have)
    payload = b"" if have is None or held == chunks else have.to_bytes()[: MAX_BITFIELD_CHUNKS // 8]
    name = offer.name.encode(errors="replace")[:MAX_NAME_BYTES].decode(errors="ignore")
    size = offer.layout.size if chunks == 1 else 0
    return Has(ask.request, chunks, held, name, len(offer.descriptor), size), payload


def _descriptor(get: GetDescriptor, offer: Offer) -> tuple[Message, bytes]:
    raw = offer.member_descriptor(get.file - 1) if get.file else offer.descriptor
    return Descriptor(get.request, len(raw)), raw[get.offset : get.offset + DESCRIPTOR_RANGE_BYTES]


def _members(get: GetMembers, offer: Offer) -> tuple[Message, bytes]:
    parts, room = [], MAX_PAYLOAD_BYTES
    for number in get.files:
        raw = offer.member_descriptor(number) if number < len(offer.layout.files) else b""
        if len(raw) > min(room, DESCRIPTOR_RANGE_BYTES):
            raw = b""
        room -= len(raw)
        parts.append(raw)
    return Members(get.request, tuple(map(len, parts))), b"".join(parts)
