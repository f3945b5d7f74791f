"""Contacts made to measure, and scopes on a virtual network with answers that a test decides."""

from __future__ import annotations

import random

from dhtshare.dht.contact import Contact
from dhtshare.dht.nodeid import bound_id
from dhtshare.network import Address

OWN = bytes(20)


def in_bucket(index: int, number: int, host: str = "10.0.0.1", own: bytes = OWN) -> Contact:
    """The LAN contact number `number` of a node's bucket `index`; ports tell them apart."""
    distance = (1 << (index - 1)) | number
    assert distance.bit_length() == index, "no so many ids fall into that bucket"
    node_id = (int.from_bytes(own, "big") ^ distance).to_bytes(20, "big")
    return Contact(node_id, Address(host, 1000 + number))


def bound(host: str, port: int = 4470, seed: int = 0) -> Contact:
    """A contact of a global scope, under an id that its address may have."""
    return Contact(bound_id(host, random.Random(f"{host} {seed}")), Address(host, port))


def bound_in(index: int, own: bytes, hosts: list[str]) -> list[Contact]:
    """For each host a contact under an id that falls into that bucket, where it may have one."""
    found = []
    for host in hosts:
        for seed in range(64):
            contact = bound(host, seed=seed)
            if contact.distance_to(own).bit_length() == index:
                found.append(contact)
                break
    return found
