"""Who says so: what counts as one voice where everybody's answers get an equal share. Pure."""

from __future__ import annotations

from dhtshare.network import Address, Scope, network_tag

OURSELVES = ""


def teller_of(answerer: Address, scope: Scope) -> str:
    """The network of a node that answers, in the LAN scope its address: a crowd in one network is one voice."""
    return str(answerer) if scope is Scope.LAN else network_tag(answerer.host, scope).hex()
