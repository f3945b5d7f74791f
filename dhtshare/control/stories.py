"""The table of operations: what a command can ask of a node, by name."""

from __future__ import annotations

from typing import Any

from dhtshare.control.operations import Operation
from dhtshare.fetch import FetchRequest, fetch
from dhtshare.inspect_content import InfoRequest, info
from dhtshare.look_inside import (
    DhtLookupRequest,
    DhtPingRequest,
    DhtStatusRequest,
    dht_lookup,
    dht_ping,
    dht_status,
)
from dhtshare.node import Node
from dhtshare.publish import PublishRequest, UnpublishRequest, publish, unpublish
from dhtshare.search import SearchRequest, search
from dhtshare.status import (
    LimitRequest,
    ListRequest,
    PeersRequest,
    StatusRequest,
    limit,
    list_items,
    peers,
    status,
)
from dhtshare.verify import VerifyRequest, verify

OPERATIONS: dict[str, Operation[Node, Any]] = {
    "publish": Operation(PublishRequest, publish),
    "unpublish": Operation(UnpublishRequest, unpublish),
    "search": Operation(SearchRequest, search),
    "fetch": Operation(FetchRequest, fetch),
    "info": Operation(InfoRequest, info),
    "list": Operation(ListRequest, list_items),
    "verify": Operation(VerifyRequest, verify),
    "status": Operation(StatusRequest, status),
    "peers": Operation(PeersRequest, peers),
    "limit": Operation(LimitRequest, limit),
    "dht_status": Operation(DhtStatusRequest, dht_status),
    "dht_lookup": Operation(DhtLookupRequest, dht_lookup),
    "dht_ping": Operation(DhtPingRequest, dht_ping),
}
