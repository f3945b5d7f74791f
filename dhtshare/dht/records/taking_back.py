"""Takes one content's records back from their holders in one scope: `gone` for providers, a withdrawal for words."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

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


async def take_back(
    holding: Holding, network: bytes, content_hash: bytes, withdrawal: bytes | None, words: Sequence[str]
) -> int:
    """How many copies under words were withdrawn. Our own records go at once, whatever others say."""
    content = content_key(network, content_hash)
    holding.own.pop(content, None)
    keys = [keyword_key(network, word) for word in words] if withdrawal is not None else []
    if withdrawal is not None:
        _withdraw_here(holding, withdrawal, keys)
    acks = 0

    async def forget(contact: Contact) -> None:
        await ask(holding, contact, RecordMethod.GONE, Gone((content,)).body())

    async def withdraw(contact: Contact, raw: bytes, some: Sequence[bytes]) -> None:
        nonlocal acks
        reply = await ask(holding, contact, RecordMethod.WITHDRAW, Withdraw(((raw, tuple(some)),)).body())
        try:
            verdicts = read_verdicts(reply.body, len(some)) if reply is not None else []
        except MalformedError:
            return
        acks += verdicts.count(Verdict.STORED)

    async def region(holders: dict[bytes, list[Contact]]) -> None:
        by_holder: defaultdict[Contact, list[bytes]] = defaultdict(list)
        for key, contacts in holders.items():
            for contact in contacts if key != content else ():
                by_holder[contact].append(key)
        async with asyncio.TaskGroup() as group:
            for contact in holders.get(content, ()):
                group.create_task(forget(contact))
            for contact, some in by_holder.items():
                if withdrawal is not None:
                    group.create_task(withdraw(contact, withdrawal, some))

    await visit_holders(holding, dict.fromkeys(keys, ENTRY_TARGET) | {content: PROVIDER_TARGET}, region)
    return acks


def _withdraw_here(holding: Holding, withdrawal: bytes, keys: Sequence[bytes]) -> None:
    record = holding.verifier.check(withdrawal)
    if isinstance(record, Withdrawal):
        holding.store.withdraw(record, keys, now=holding.dht.rpc.now(), wall=holding.record_wall())
