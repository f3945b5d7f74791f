"""The records side of one scope of a node: what it holds for others, and the answers it gives. Driver.

Also what the node itself provides.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.clock import SET_SECONDS, RecordClock, clock_warning
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.service import RecordService
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.scope import ScopeDht
from dhtshare.network import ScopeRules, network_tag

log = logging.getLogger(__name__)

DOUBT_SECONDS = 600.0  # after a start; then our own clock counts where too few holders were heard


class Holding:
    """Store, service and record clock of one scope. `own` maps content keys to this node's own claims.

    `on_corrected` is called when holders turn out to have quite another time than we had until then, `on_slept` with
    the seconds for which the machine slept.
    """

    def __init__(
        self,
        dht: ScopeDht,
        *,
        network: bytes,
        rules: ScopeRules,
        rng: random.Random,
        wall: Callable[[], float],
        verifier: Verifier,
        budget: Budget,
    ) -> None:
        self.dht = dht
        self.rules = rules
        self.verifier = verifier
        self.clock = RecordClock()
        self.store = RecordStore(network, dht.scope, rng, budget)
        self.own: dict[bytes, ProviderClaim] = {}
        self.on_corrected: list[Callable[[], None]] = []
        self.on_slept: list[Callable[[float], None]] = []
        self._wall = wall
        self._began = dht.rpc.now()
        self._judged: int | None = None  # how often our clock had been set when the holders' time was last applied
        self._wall_at_zero = self.wall_at_zero()  # by which the store was judged
        RecordService(
            network=network,
            scope=dht.scope,
            rules=rules,
            store=self.store,
            verifier=verifier,
            own=self.own,
            now=dht.rpc.now,
            record_wall=self.record_wall,
        ).register(dht.rpc)

    def record_wall(self) -> float:
        """The record clock: Unix seconds."""
        return self.clock.time(self._wall(), self.dht.rpc.now())

    def wall_at_zero(self) -> float:
        """What the record clock said when the monotonic one was 0: it changes only when one of them is corrected."""
        return self.record_wall() - self.dht.rpc.now()

    def heard(self, contact: Contact, theirs: int) -> None:
        """A holder's answer told its time. The user hears of it when most of them turn out to have another."""
        known = self.clock.wrong
        tag = network_tag(contact.address.host, self.dht.scope)
        self.clock.observe(tag, theirs, self._wall(), self.dht.rpc.now())
        if self.clock.agreed and self._judged != self.clock.times_set:
            self._judge()
        warning = None if known else clock_warning(self.clock)
        if warning is not None:
            log.warning("%s", warning)
            for callback in self.on_corrected:
                callback()

    def expire(self) -> None:
        """Let go what is past by the time on which holders agree. To be called every minute or so.

        What was restored is not let go before holders were heard: our own clock may be what is wrong.
        """
        changed = abs(self.wall_at_zero() - self._wall_at_zero) > SET_SECONDS
        if changed and self.clock.agreed:  # in this order: a clock that was set leaves nobody who agrees
            self._judge()
        now = self.dht.rpc.now()
        if self.clock.agreed or now >= self._began + DOUBT_SECONDS:
            self.store.expire(now=now)

    def slept(self, seconds: float) -> None:
        """So much time has passed that the monotonic clock knows nothing of."""
        self.store.elapse(seconds)
        for callback in self.on_slept:
            callback(seconds)

    def _judge(self) -> None:
        self._judged = self.clock.times_set
        self._wall_at_zero = self.wall_at_zero()
        self.store.judge(now=self.dht.rpc.now(), wall=self.record_wall())
