"""Checks each signature once: the same bytes come from ten holders and for many words. Pure."""

from __future__ import annotations

from collections import OrderedDict

from blake3 import blake3

from dhtshare.dht.records.entry import SignedRecord, decode_record, is_signed
from dhtshare.errors import MalformedError

MAX_REMEMBERED = 16_384
_MARK_BYTES = 16


class Verifier:
    """Decodes records and checks their signatures; remembers which bytes were good, at most MAX_REMEMBERED.

    Only good bytes are remembered, so nobody can fill the memory without spending a signature each.
    """

    def __init__(self, network: bytes, limit: int = MAX_REMEMBERED) -> None:
        self._network = network
        self._limit = limit
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self.checks = 0

    def check(self, raw: bytes) -> SignedRecord:
        """The record of these bytes. Raises MalformedError if they are none or not signed by their publisher."""
        record = decode_record(raw)
        mark = blake3(raw).digest(length=_MARK_BYTES)
        if mark in self._good:
            self._good.move_to_end(mark)
            return record
        self.checks += 1
        if not is_signed(record, self._network):
            raise MalformedError("The record is not signed by its publisher for this network.")
        self._good[mark] = None
        if len(self._good) > self._limit:
            self._good.popitem(last=False)
        return record
