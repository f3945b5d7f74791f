"""The virtual network: a loop whose clock jumps, and datagrams that travel in memory. Seeded and repeatable.

The same DHT code that runs in a node runs here: it needs no more than an object with `sendto` and
`close`. Nothing touches a real socket, clock or home. Used by `dhtshare lab` and by tests/sim.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from dhtshare.network import Address

T = TypeVar("T")
MEDIAN_RTT_SECONDS = 0.080
SPREAD = 0.35  # sigma of the log-normal one-way delays: a p95 of 1.8 medians
THREAD_SECONDS = 60.0  # real ones, that a thread may take until it wakes the loop
EPOCH = 1_700_000_000.0  # the wall clock of a virtual network at its time 0

Receiver = Callable[[bytes, Address], None]


class _JumpingSelector(selectors.SelectSelector):
    """Never sleeps while a timer is due: it moves the loop's clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            events = super().select(THREAD_SECONDS)  # only a thread can wake us, through the self-pipe
            if not events:
                raise RuntimeError("Nothing is due in virtual time and no thread has anything: a wait without end.")
            return events
        if timeout > 0:
            self.now += timeout
            return []
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.now


class VirtualTransport:
    """One node's end of the virtual network."""

    __slots__ = ("_network", "address")

    def __init__(self, network: VirtualNetwork, address: Address) -> None:
        self._network = network
        self.address = address

    def sendto(self, data: bytes, address: Address) -> None:
        self._network.send(data, self.address, address)

    def close(self) -> None:
        self._network.detach(self.address)


class VirtualNetwork:
    """Delivers datagrams with delay and loss; addresses that are dead or unknown swallow them."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rng: random.Random, *, loss: float = 0.0, rtt: float = MEDIAN_RTT_SECONDS
    ) -> None:
        self.loss = loss
        self.rtt = rtt
        self.sent = 0
        self.bytes = 0
        self._loop = loop
        self._rng = rng
        self._receivers: dict[Address, Receiver] = {}
        self._places: dict[Address, float] = {}
        self._silent: set[Address] = set()

    def attach(self, address: Address, receiver: Receiver) -> VirtualTransport:
        """Deliver what is sent to that address."""
        self._receivers[address] = receiver
        return VirtualTransport(self, address)

    def detach(self, address: Address) -> None:
        self._receivers.pop(address, None)

    def silence(self, address: Address, silent: bool = True) -> None:
        """Make a node dead to everybody, or bring it back."""
        (self._silent.add if silent else self._silent.discard)(address)

    def is_silent(self, address: Address) -> bool:
        return address in self._silent

    def send(self, data: bytes, source: Address, target: Address) -> None:
        """Lose the datagram, or deliver it after half a round trip between the two."""
        self.sent += 1
        self.bytes += len(data)
        if source in self._silent or (self.loss and self._rng.random() < self.loss):
            return
        self._loop.call_later(self._delay(source, target), self._deliver, data, source, target)

    def _delay(self, source: Address, target: Address) -> float:
        """Each pair has its own delay, steady but for some jitter, as on the Internet."""
        if not self.rtt:
            return 0.0
        place = self._place(source) + self._place(target)
        return self.rtt / 2 * math.exp(place) * (1 + 0.1 * self._rng.random())

    def _place(self, address: Address) -> float:
        found = self._places.get(address)
        if found is None:
            found = self._places[address] = self._rng.gauss(0, SPREAD / math.sqrt(2))
        return found

    def _deliver(self, data: bytes, source: Address, target: Address) -> None:
        receiver = self._receivers.get(target)
        if receiver is not None and target not in self._silent:
            receiver(data, source)


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on a fresh virtual loop, and close the loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(main(loop))
