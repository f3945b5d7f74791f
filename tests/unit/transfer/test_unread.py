"""A peer that does not read ends its own connection, and nobody who had something to say to it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from dhtshare.errors import NetworkError
from dhtshare.transfer.messages import Answer, Ask, Have, Hello
from dhtshare.transfer.parties import Landed
from tests.unit.transfer.raw_peer import dialled
from tests.unit.transfer.transfer_fakes import FileOffer, describe, peer

NEWS = Have(b"c" * 32, tuple(range(200)))


class Waiting:
    """Who asked something."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def place(self, length: int) -> memoryview | None:
        raise AssertionError("no answer comes")

    def answered(self, answer: Answer, payload: memoryview | None) -> None:
        raise AssertionError("no answer comes")

    def data_came(self) -> tuple[Landed, bool]:
        raise AssertionError("no answer comes")

    def lost(self, error: Exception) -> None:
        self.errors.append(error)


async def test_what_is_said_to_a_peer_that_does_not_read_ends_its_connection_and_raises_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(1000))
    offer = FileOffer(path, describe(path.read_bytes()))
    content = offer.layout.content_hash
    async with peer(offer) as (exchange, address), dialled(address) as raw:
        raw.hello()
        await raw.hear_a(Hello)
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        (connection,) = exchange._connections
        first, second = Waiting(), Waiting()
        number = connection.ask(lambda number: Ask(number, content), first)
        async with asyncio.timeout(20):
            while connection.error is None:
                for _ in range(50):
                    connection.send(NEWS)
                await asyncio.sleep(0)
        assert "does not read" in str(connection.error)
        assert not connection.is_open
        connection.send(NEWS)
        connection.cancel(number)
        with pytest.raises(NetworkError):
            connection.ask(lambda number: Ask(number, content), second)
        await connection.wait_closed()
        assert first.errors == [connection.error]
        assert second.errors == [], "who was told already is not told again"
