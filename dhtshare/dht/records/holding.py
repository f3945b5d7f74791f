"""The records side of one scope of a node: what it holds for others, and the answers it gives. Driver.

Also what the node itself provides while so few servers are known that it has to hold its own records.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.clock import RecordClock, clock_warning
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.service import RecordService
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.scope import ScopeDht
from dhtshare.network import ScopeRules

log = logging.getLogger(__name__)


class Holding:
    """Store, service and record clock of one scope. `own` maps content keys to this node's own claims."""

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
        self._wall = wall
        RecordService(
            network=network,
            scope=dht.scope,
            rules=rules,
            store=self.store,
            verifier=verifier,
            own=self.own,
            servers=lambda: dht.contacts,
            now=dht.rpc.now,
            record_wall=self.record_wall,
        ).register(dht.rpc)

    def record_wall(self) -> float:
        """The record clock: Unix seconds."""
        return self.clock.time(self._wall())

    def heard(self, contact: Contact, theirs: int) -> None:
        """A holder's answer told its time. The user hears of it when most of them turn out to have another."""
        known = self.clock.wrong
        self.clock.observe(contact.address, theirs, self._wall())
        warning = None if known else clock_warning(self.clock)
        if warning is not None:
            log.warning("%s", warning)
