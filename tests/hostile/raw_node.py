"""A node made by hand: one UDP socket that says exactly what a test wants, and counts what comes back.

It knows the wire format and none of the manners.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from dhtshare.dht.messages import Body, Method
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.stores import MAX_ITEMS, StoreEntries, read_verdicts
from dhtshare.dht.wire import (
    MAX_DATAGRAM_BYTES,
    MESSAGE_ID_BYTES,
    TYPE_RESPONSE,
    RequestMessage,
    ResponseMessage,
    datagram_type,
    decode_response,
    encode_request,
    message_id,
)
from dhtshare.network import network_id, split_host_port

ANSWER_SECONDS = 5.0


class RawNode:
    """One UDP socket in the network of this name; `host` is the loopback address that it speaks from."""

    def __init__(self, network: str, host: str = "127.0.0.1") -> None:
        self.network = network_id(network)
        self.node_id = os.urandom(20)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((host, 0))
        self.address: tuple[str, int] = self.socket.getsockname()
        self.tokens: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def request(self, method: int, body: Body, *, token: bytes = b"", client: bool = True) -> bytes:
        """A request as bytes, under a fresh number."""
        message = RequestMessage(method, self.node_id, body, client, token)
        return encode_request(self.network, os.urandom(MESSAGE_ID_BYTES), message)

    def send(self, to: str, datagram: bytes) -> None:
        """Send these bytes, whatever they are."""
        self.socket.sendto(datagram, split_host_port(to))

    def receive(self, seconds: float = 0.3) -> list[bytes]:
        """All datagrams that come until nothing has come for so long."""
        self.socket.settimeout(seconds)
        received: list[bytes] = []
        while True:
            try:
                received.append(self.socket.recv(65536))
            except TimeoutError:
                return received

    def ask(
        self, to: str, method: int, body: Body, *, token: bytes | None = None, client: bool = True
    ) -> list[ResponseMessage]:
        """Ask and wait for the whole answer; with the token that this node gave us, unless another is given."""
        used = self.tokens.get(to, b"") if token is None else token
        datagram = self.request(method, body, token=used, client=client)
        self.send(to, datagram)
        parts: dict[int, ResponseMessage] = {}
        deadline = time.monotonic() + ANSWER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            data = self.socket.recv(MAX_DATAGRAM_BYTES + 1)
            if datagram_type(data, self.network) != TYPE_RESPONSE or message_id(data) != message_id(datagram):
                continue
            response = decode_response(data)
            parts[response.part] = response
            if response.token:
                self.tokens[to] = response.token
            if len(parts) == response.parts:
                return [parts[number] for number in sorted(parts)]
        raise TimeoutError(f"{to} did not answer")

    def prove(self, to: str) -> bytes:
        """Fetch a token by a ping."""
        self.ask(to, Method.PING, {}, token=b"")
        return self.tokens[to]

    def store(self, to: Iterable[str], records: Iterable[bytes], numbers: bytes = b"\0") -> list[Verdict]:
        """Store signed records under these numbers of their words, on each of these nodes; all verdicts."""
        verdicts: list[Verdict] = []
        batch: list[bytes] = []

        def flush(node: str) -> None:
            if batch:
                body = StoreEntries(tuple((raw, numbers) for raw in batch)).body()
                (answer,) = self.ask(node, RecordMethod.STORE_ENTRIES, body)
                assert not answer.code, f"refused with code {answer.code}"
                verdicts.extend(read_verdicts(answer.body, len(batch) * len(numbers)))
                batch.clear()

        records = list(records)
        for node in to:
            self.prove(node)
            for raw in records:
                if sum(map(len, batch)) + len(raw) + 8 * len(batch) > 1000 or len(batch) == MAX_ITEMS:
                    flush(node)
                batch.append(raw)
            flush(node)
        return verdicts
