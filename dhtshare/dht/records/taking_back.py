"""Takes one content's records back from their holders in one scope: `gone` for providers, a withdrawal for words."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.records.deliveries import ask
from dhtshare.dht.records.entry import Withdrawal
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.regions import visit_holders
from dhtshare.dht.records.stores import Gone, Withdraw, read_verdicts
from dhtshare.errors import MalformedError

KEYS_AT_ONCE = 40  # beside the withdrawal in one datagram


class TakingBack:
    """One content's way out. `withdrawal` None: it had no words; `provider`: it is not held any more either."""

    def __init__(
        self,
        holding: Holding,
        network: bytes,
        content_hash: bytes,
        withdrawal: bytes | None,
        words: Sequence[str],
        *,
        provider: bool,
    ) -> None:
        self._holding = holding
        self._withdrawal = withdrawal
        self._words = [keyword_key(network, word) for word in words] if withdrawal is not None else []
        self._content = content_key(network, content_hash)
        self._provider = provider
        self._acks = 0

    async def run(self) -> int:
        """How many copies under words were withdrawn. Our own records go at once, whatever others say."""
        targets = dict.fromkeys(self._words, ENTRY_TARGET)
        if self._provider:
            self._holding.own.pop(self._content, None)
            targets[self._content] = PROVIDER_TARGET
        self._withdraw_here()
        await visit_holders(self._holding, targets, self._visit)
        return self._acks

    async def _visit(self, holders: dict[bytes, list[Contact]]) -> None:
        by_holder: defaultdict[Contact, list[bytes]] = defaultdict(list)
        for key, contacts in holders.items():
            for contact in contacts if key != self._content else ():
                by_holder[contact].append(key)
        async with asyncio.TaskGroup() as group:
            for contact in holders.get(self._content, ()):
                group.create_task(self._forget_at(contact))
            for contact, keys in by_holder.items():
                group.create_task(self._withdraw_at(contact, keys))

    async def _forget_at(self, contact: Contact) -> None:
        await ask(self._holding, contact, RecordMethod.GONE, Gone((self._content,)).body())

    async def _withdraw_at(self, contact: Contact, keys: Sequence[bytes]) -> None:
        assert self._withdrawal is not None
        for at in range(0, len(keys), KEYS_AT_ONCE):
            some = tuple(keys[at : at + KEYS_AT_ONCE])
            body = Withdraw(((self._withdrawal, some),)).body()
            reply = await ask(self._holding, contact, RecordMethod.WITHDRAW, body)
            if reply is None:
                return
            with suppress(MalformedError):
                self._acks += read_verdicts(reply.body, len(some)).count(Verdict.STORED)

    def _withdraw_here(self) -> None:
        if self._withdrawal is None:
            return
        holding = self._holding
        record = holding.verifier.check(self._withdrawal)
        if isinstance(record, Withdrawal):
            holding.store.withdraw(record, self._words, now=holding.dht.rpc.now(), wall=holding.record_wall())
