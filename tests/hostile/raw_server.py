"""A DHT node that lies: answers every walk with the same false providers, on a thread of its own."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.records.finds import providers_body
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim, answer
from dhtshare.dht.wire import (
    TYPE_REQUEST,
    ResponseMessage,
    datagram_type,
    decode_request,
    encode_response,
    message_id,
)
from dhtshare.errors import MalformedError
from dhtshare.network import Address, network_id

ANSWERS_A_DATAGRAM = 60


class FalseServer:
    """Speaks from `host`; whoever asks for providers of anything is told of `named`, a part of them each time."""

    def __init__(self, network: str, host: str, named: Sequence[tuple[str, int]]) -> None:
        self.network = network_id(network)
        self.node_id = bound_id(host, random.Random(host))
        self.named = list(named)
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(0.2)
        self.address = "{}:{}".format(*self.socket.getsockname())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(5)
        self.socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                data, sender = self.socket.recvfrom(2048)
                if datagram_type(data, self.network) != TYPE_REQUEST:
                    continue
                request = decode_request(data)
            except (TimeoutError, MalformedError):
                continue
            body: dict[int, object] = {}
            if request.method == RecordMethod.FIND_PROVIDERS:
                start = self.asked * ANSWERS_A_DATAGRAM % len(self.named)
                self.asked += 1
                some = self.named[start : start + ANSWERS_A_DATAGRAM]
                body = providers_body([answer(host, ProviderClaim(port, b"falsefal")) for host, port in some])
            response = ResponseMessage(
                self.node_id, body, token=b"tokentok", seen=Address(*sender), wall=int(time.time())
            )
            self.socket.sendto(encode_response(self.network, message_id(data), response), sender)
