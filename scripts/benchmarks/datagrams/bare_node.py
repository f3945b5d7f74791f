"""Answers whatever comes with the same bytes, over a node's own sockets: what these alone cost."""

from __future__ import annotations

import asyncio
import json
import sys

from dhtshare.dht.sockets import UdpTransport
from dhtshare.listening import listen
from dhtshare.network import Address

ANSWER = bytes(4) + b"\1" + bytes(20) + b"\x86\x00\x01" + bytes(60)  # as long as the answer to a ping


async def serve() -> None:
    """Until standard input ends."""
    listening = listen("127.0.0.1", 0)

    def answer(_data: bytes, sender: Address) -> None:
        transport.sendto(ANSWER, sender)

    transport = UdpTransport(listening.udp, answer)
    print(json.dumps({"port": listening.port}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    transport.close()


if __name__ == "__main__":
    asyncio.run(serve())
