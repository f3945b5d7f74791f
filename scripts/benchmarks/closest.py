"""Whether a table's k closest are the true ones: against brute force, in many random tables."""

from __future__ import annotations

import argparse
import random
from typing import Any

from dhtshare.dht.contact import ID_BITS, ID_BYTES, Contact
from dhtshare.dht.routing import K, Table
from dhtshare.network import Address, Scope
from scripts.benchmarks.goals import at_least


def closest(*arguments: str) -> dict[str, Any]:
    """`--tables N` `--seed S`. Recall over all tables, one target each; `exact` counts those equal in order, too."""
    parser = argparse.ArgumentParser(prog="scripts/bench closest")
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    rng = random.Random(given.seed)
    wanted = found = exact = 0
    for _ in range(given.tables):
        table = random_table(rng)
        target = near(rng, rng.choice([contact.node_id for contact in table] or [bytes(ID_BYTES)]))
        true = sorted(table, key=lambda contact: contact.distance_to(target))[:K]
        nearest = table.nearest(target)
        wanted += len(true)
        found += len(set(true) & set(nearest))
        exact += nearest == true
    return {
        "tables": given.tables,
        "seed": given.seed,
        "recall": at_least(found / wanted, 1.0),
        "exact": exact,
        "contacts_mean": round(wanted / given.tables, 2),
    }


def random_table(rng: random.Random) -> Table:
    """Up to 200 contacts, their ids now spread, now crowded around the node's own or around another's."""
    own = rng.randbytes(ID_BYTES)
    table = Table(own, Scope.LAN)
    centre = own if rng.random() < 0.5 else rng.randbytes(ID_BYTES)
    for number in range(rng.randrange(200)):
        node_id = near(rng, centre) if rng.random() < 0.7 else rng.randbytes(ID_BYTES)
        table.answered(Contact(node_id, Address("10.0.0.1", 1024 + number)), 0.0)
    return table


def near(rng: random.Random, centre: bytes) -> bytes:
    """An id at a distance of any length in bits, each as likely."""
    return (int.from_bytes(centre, "big") ^ rng.getrandbits(rng.randrange(1, ID_BITS + 1))).to_bytes(ID_BYTES, "big")
