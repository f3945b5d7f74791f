"""Rate caps on whole transfers, in virtual time: within 5 % over any 10 s, DHT traffic included, changed on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sim.streams import Fetch, Host, StreamNetwork, in_virtual_time, simulate
from tests.unit.transfer.transfer_fakes import FileOffer, describe

MIB = 1 << 20
DATA = random.Random(41).randbytes(40 * MIB)
DESCRIPTOR = describe(DATA)
WINDOW = 10.0


@pytest.fixture(autouse=True)
def virtual(monkeypatch: pytest.MonkeyPatch) -> None:
    in_virtual_time(monkeypatch)


class Metered:
    """One seed, one fetcher, and what passed a line by when, sampled."""

    def __init__(self, folder: Path) -> None:
        path = folder / "source.bin"
        path.write_bytes(DATA)
        self.network = StreamNetwork()
        self.seed = self.network.host(FileOffer(path, DESCRIPTOR))
        self.fetch = Fetch(self.network, folder, DESCRIPTOR)
        self.samples: list[tuple[float, int]] = []
        self.besides = 0

    def run(self, of: Host, way: str, *during: Callable[[], None], apart: float = 12.0) -> None:
        """Samples what `of` sent or took; each of `during` is called `apart` seconds after the one before.

        Taken is what the program read: the line brings it in bursts, as far as the kernel's buffers let it.
        """

        async def sample() -> None:
            loop = asyncio.get_running_loop()
            while True:
                moved = of.up.carried if way == "up" else of.exchange.stats().downloaded
                self.samples.append((loop.time(), moved + self.besides))
                await asyncio.sleep(0.1)

        async def whole() -> None:
            for number, call in enumerate(during):
                asyncio.get_running_loop().call_later(apart * (number + 1), call)
            sampling = asyncio.create_task(sample())
            await self.fetch.run([self.seed.address])
            sampling.cancel()

        simulate(self.network, whole)
        assert self.fetch.data == DATA

    def rates(self, begin: float = 1.0, end: float = 1e9) -> list[float]:
        """Bytes a second over every stretch of WINDOW seconds within these.

        Not the last five: then a receiver that holds back still takes what the line has carried already.
        """
        end = min(end, self.samples[-1][0] - 5)
        inside = [(at, count) for at, count in self.samples if begin <= at <= end]
        steps = int(WINDOW / 0.1)
        return [
            (later[1] - earlier[1]) / (later[0] - earlier[0])
            for earlier, later in zip(inside, inside[steps:], strict=False)
        ]


@pytest.mark.parametrize("cap", [MIB, 2 * MIB])
@pytest.mark.parametrize("side", ["upload", "download"])
def test_ten_seconds_stay_within_five_percent(tmp_path: Path, side: str, cap: int) -> None:
    metered = Metered(tmp_path)
    of = metered.seed if side == "upload" else metered.fetch.host
    getattr(of.exchange.limits, side).set_rate(cap, 0.0)
    metered.run(of, "up" if side == "upload" else "down")
    rates = metered.rates()
    assert rates
    assert 0.95 * cap <= min(rates)
    assert max(rates) <= 1.05 * cap


def test_a_cap_that_is_changed_holds_at_once(tmp_path: Path) -> None:
    metered = Metered(tmp_path)
    upload = metered.seed.exchange.limits.upload
    upload.set_rate(2 * MIB, 0.0)
    metered.run(
        metered.seed,
        "up",
        lambda: upload.set_rate(MIB, asyncio.get_running_loop().time()),
    )
    assert metered.rates(1.0, 12.0) == pytest.approx([2 * MIB] * len(metered.rates(1.0, 12.0)), rel=0.05)
    after = metered.rates(12.2)
    assert after == pytest.approx([MIB] * len(after), rel=0.05)


def test_traffic_that_cannot_wait_is_included(tmp_path: Path) -> None:
    """Datagrams of the DHT: 100 KiB a second in bursts, charged as the node does; the transfer makes way."""
    metered = Metered(tmp_path)
    upload = metered.seed.exchange.limits.upload
    upload.set_rate(MIB, 0.0)

    def datagrams() -> None:
        loop = asyncio.get_running_loop()
        upload.charge(50 << 10, loop.time())
        metered.besides += 50 << 10
        loop.call_later(0.5, datagrams)

    metered.run(metered.seed, "up", datagrams, apart=0.1)
    rates = metered.rates()
    assert min(rates) >= 0.95 * MIB
    assert max(rates) <= 1.05 * MIB


def test_many_seeds_share_a_small_cap_and_none_is_taken_for_a_trickle(tmp_path: Path) -> None:
    """Each gives 2 KiB/s, because we take no more: half of what would end the connection to a slow peer."""
    metered, cap = Metered(tmp_path), 40 << 10
    seeds = [metered.seed] + [metered.network.host(FileOffer(tmp_path / "source.bin", DESCRIPTOR)) for _ in range(19)]
    metered.fetch.host.exchange.limits.download.set_rate(cap, 0.0)
    simulate(metered.network, lambda: metered.fetch.run([seed.address for seed in seeds]))
    assert metered.fetch.data == DATA
    assert metered.fetch.seconds <= 1.05 * len(DATA) / cap


def test_slow_seeds_are_waited_for_though_none_brings_a_whole_chunk_in_time(tmp_path: Path) -> None:
    """Of lines of 64 kbit/s a chunk takes two minutes; a fetch gives up after one without progress."""
    metered = Metered(tmp_path)
    seeds = [metered.network.host(FileOffer(tmp_path / "source.bin", DESCRIPTOR), up=8 << 10) for _ in range(20)]
    simulate(metered.network, lambda: metered.fetch.run([seed.address for seed in seeds]))
    assert metered.fetch.data == DATA


def test_no_cap_is_no_brake(tmp_path: Path) -> None:
    metered = Metered(tmp_path)
    metered.run(metered.seed, "up")
    assert metered.fetch.seconds < 1


def test_two_fetchers_share_a_cap(tmp_path: Path) -> None:
    """The cap is the node's, not a connection's."""
    metered = Metered(tmp_path)
    metered.seed.exchange.limits.upload.set_rate(4 * MIB, 0.0)
    other = Fetch(metered.network, tmp_path, DESCRIPTOR)

    async def whole() -> None:
        await asyncio.gather(metered.fetch.run([metered.seed.address]), other.run([metered.seed.address]))

    simulate(metered.network, whole)
    both = 2 * len(DATA) / (4 * MIB)
    assert both * 0.95 <= max(metered.fetch.seconds, other.seconds) <= both * 1.05
    assert abs(metered.fetch.seconds - other.seconds) <= 0.2 * both
