"""The virtual network and clock that the figures rest on."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time

import pytest

from dhtshare.dht import simulation
from dhtshare.dht.simulation import VirtualLoop, VirtualNetwork, run_virtual
from dhtshare.network import Address

ONE, OTHER = Address("4.4.4.4", 4470), Address("5.5.5.5", 4470)


def test_a_day_passes_in_no_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        await asyncio.sleep(86_400)
        return loop.time()

    began = time.monotonic()
    assert run_virtual(main) == 86_400
    assert time.monotonic() - began < 3600


def test_timers_fire_in_their_order_at_their_times() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[float, str]]:
        fired: list[tuple[float, str]] = []
        for name, delay in (("late", 5.0), ("soon", 0.5), ("now", 0.0)):
            loop.call_later(delay, lambda name=name: fired.append((loop.time(), name)))
        await asyncio.sleep(6)
        return fired

    assert run_virtual(main) == [(0.0, "now"), (0.5, "soon"), (5.0, "late")]


def test_a_thread_wakes_the_loop() -> None:
    async def main(loop: VirtualLoop) -> int:
        woken = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(woken.set_result, 7))
        thread.start()
        try:
            return await woken
        finally:
            thread.join()

    assert run_virtual(main) == 7


def test_a_wait_without_end_is_an_error_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "THREAD_SECONDS", 0.05)

    async def main(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(RuntimeError, match="without end"):
        run_virtual(main)


def test_datagrams_arrive_after_half_a_round_trip_from_who_sent_them() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[float, bytes, Address]]:
        network = VirtualNetwork(loop, random.Random(1), rtt=0.1)
        heard: list[tuple[float, bytes, Address]] = []
        network.attach(OTHER, lambda data, source: heard.append((loop.time(), data, source)))
        network.attach(ONE, lambda data, source: None).sendto(b"hello", OTHER)
        await asyncio.sleep(10)
        assert (network.sent, network.bytes) == (1, 5)
        return heard

    ((at, data, source),) = run_virtual(main)
    assert (data, source) == (b"hello", ONE)
    assert 0.01 < at < 0.5


def test_round_trips_have_the_median_that_was_asked_for() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        network = VirtualNetwork(loop, random.Random(2), rtt=0.08)
        times: list[float] = []
        for number in range(400):
            target = Address(f"6.6.{number // 200}.{number % 200}", 4470)
            source = Address(f"7.7.{number // 200}.{number % 200}", 4470)
            began = loop.time()
            network.attach(target, lambda data, sender, target=target: network.send(data, target, sender))
            network.attach(source, lambda data, sender, began=began: times.append(loop.time() - began))
            network.send(b"?", source, target)
        await asyncio.sleep(10)
        return times

    times = run_virtual(main)
    assert len(times) == 400
    assert 0.07 < statistics.median(times) < 0.1
    assert max(times) > 1.8 * statistics.median(times)


@pytest.mark.parametrize("who", [ONE, OTHER])
def test_the_silent_neither_send_nor_hear_until_they_are_back(who: Address) -> None:
    async def main(loop: VirtualLoop) -> list[bytes]:
        network = VirtualNetwork(loop, random.Random(1))
        heard: list[bytes] = []
        network.attach(OTHER, lambda data, source: heard.append(data))
        network.silence(who)
        assert network.is_silent(who)
        network.send(b"lost", ONE, OTHER)
        await asyncio.sleep(5)
        network.silence(who, False)
        network.send(b"heard", ONE, OTHER)
        await asyncio.sleep(5)
        return heard

    assert run_virtual(main) == [b"heard"]


def test_so_many_are_lost_as_was_asked_for() -> None:
    async def main(loop: VirtualLoop) -> int:
        network = VirtualNetwork(loop, random.Random(3), loss=0.3)
        heard: list[bytes] = []
        network.attach(OTHER, lambda data, source: heard.append(data))
        for _ in range(1000):
            network.send(b"?", ONE, OTHER)
        await asyncio.sleep(5)
        return len(heard)

    assert 650 < run_virtual(main) < 750


def test_nobody_lives_at_a_closed_address() -> None:
    async def main(loop: VirtualLoop) -> list[bytes]:
        network = VirtualNetwork(loop, random.Random(1))
        heard: list[bytes] = []
        transport = network.attach(OTHER, lambda data, source: heard.append(data))
        transport.close()
        transport.close()
        network.send(b"?", ONE, OTHER)
        await asyncio.sleep(5)
        return heard

    assert run_virtual(main) == []
