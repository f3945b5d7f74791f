"""What people see of the DHT: its state, one lookup step by step, one node. JSON objects; changes nothing."""

from __future__ import annotations

from typing import Any

from dhtshare.dht.contact import UNKNOWN_ID, Contact
from dhtshare.dht.dht import Dht
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.walk import Step
from dhtshare.errors import NetworkError
from dhtshare.network import Address


def status_report(dht: Dht) -> dict[str, Any]:
    """Every scope: who we are in it, the table by bucket, the estimated size, traffic and refusals."""
    return {
        "contacts": dht.contacts,
        "estimated_size": dht.estimated_size(),
        "scopes": {kind.value: _scope_report(scope) for kind, scope in dht.scopes.items()},
    }


def _scope_report(scope: ScopeDht) -> dict[str, Any]:
    return {
        "node_id": scope.node_id.hex(),
        "client": scope.is_client,
        "joined": scope.joined,
        "external": scope.external.host,
        "reachable": scope.reachable,
        "dialable": scope.dialable,
        "contacts": scope.contacts,
        "estimated_size": scope.estimated_size(),
        "buckets": {str(index): size for index, size in scope.table.sizes().items()},
        "rtt_ms": _milliseconds(scope.rpc.peers.scope_rtt.smoothed),
        "traffic": scope.rpc.counters.as_dict(),
    }


def contact_report(dht: Dht) -> list[dict[str, Any]]:
    """Every contact, liveliest first within its scope."""
    return [
        {
            "node_id": contact.node_id.hex(),
            "address": str(contact.address),
            "scope": kind.value,
            "rtt_ms": _milliseconds(scope.rpc.peers.rtt(contact.address)) or None,
            "last_seen": round(scope.rpc.now() - last_seen, 1),
            "failures": failures,
        }
        for kind, scope in dht.scopes.items()
        for contact, last_seen, failures in scope.table.liveliest()
    ]


async def lookup_report(dht: Dht, target: bytes) -> dict[str, Any]:
    """One lookup in every scope that has contacts: who was asked, what came of it, when.

    Raises NetworkError where no scope has a contact.
    """
    scopes = [scope for scope in dht.scopes.values() if scope.contacts]
    if not scopes:
        raise NetworkError("No other node is known. Name one with --bootstrap HOST:PORT.")
    return {"target": target.hex(), "scopes": {scope.scope.value: await _lookup(scope, target) for scope in scopes}}


async def _lookup(scope: ScopeDht, target: bytes) -> dict[str, Any]:
    steps: list[Step] = []
    result = await scope.walk(target, trace=steps.append)
    return {
        "closest": [
            {
                "node_id": contact.node_id.hex(),
                "address": str(contact.address),
                "distance_bits": contact.distance_to(target).bit_length(),
            }
            for contact in result.closest
        ],
        "asked": result.asked,
        "answered": result.answered,
        "timed_out": result.failed,
        "lied": result.lied,
        "hops": result.hops,
        "complete": result.complete,
        "suspicious": result.suspicious,
        "seconds": round(result.seconds, 6),
        "trace": [
            {
                "address": str(step.contact.address),
                "node_id": step.contact.node_id.hex(),
                "hops": step.hops,
                "path": step.path,
                "outcome": step.outcome,
                "ms": _milliseconds(step.seconds),
                "took_ms": _milliseconds(step.took),
            }
            for step in steps
        ],
    }


async def ping_report(dht: Dht, address: Address) -> dict[str, Any]:
    """One node. Raises NoAnswer, or NetworkError where its scope is not ours."""
    kind = dht.rules.scope_of(address.host)
    scope = dht.scopes.get(kind) if kind is not None else None
    if scope is None:
        raise NetworkError(f"{address} is in no scope that this node lives in.")
    reply = await scope.ping(Contact(UNKNOWN_ID, address))
    return {
        "address": str(address),
        "scope": scope.scope.value,
        "node_id": reply.node_id.hex(),
        "ms": _milliseconds(reply.rtt),
        "seen": str(reply.seen) if reply.seen is not None else None,
        "clock": reply.wall,
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
