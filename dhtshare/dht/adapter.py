"""The one place where kademlia and rpcudp are subclassed. For each override it says why.

What the packages give: the framing (type byte, 20-byte message id, MessagePack), the table of calls that
wait for an answer, nodes, k-buckets with replacements, and the names under which a reader who knows
Kademlia looks for things. What they must not do any more is face the network: their handlers trust every
datagram, their crawlers trust every answer. Those methods are closed here, and what replaces them stands
in `routing.py` (the table), `rpc.py` (datagrams and calls), `lookup.py` (the crawl) and `scope.py`
(listen, join, refresh, state). No stock method that sends, stores or inserts is left reachable.
"""
# The packages ship without type information, hence the ignored "misc" of each class line below.

from __future__ import annotations

from typing import Any, Never

from kademlia.node import Node
from kademlia.protocol import KademliaProtocol
from kademlia.routing import KBucket, RoutingTable
from rpcudp.protocol import RPCProtocol

from dhtshare.dht.contact import ID_BITS, ID_BYTES, Contact, row_of
from dhtshare.errors import LocalProtocolError


def _closed(name: str) -> Never:
    raise LocalProtocolError(f"kademlia's own {name} must not be used; see dhtshare.dht.adapter")


class TableNode:
    """A contact as the routing table keeps it: what kademlia's buckets ask of a `Node`, in a sixth of its memory.

    `last_seen` is the monotonic time of its last sign of life, `failures` counts calls in a row that it
    did not answer.
    """

    __slots__ = ("failures", "last_seen", "row")

    # Why: stock ids of any length and type enter the table, where two equal long_ids with different
    # bytes stop every heap compare. Here an id has 20 bytes or there is no node; and nothing is compared.
    def __init__(self, contact: Contact, now: float) -> None:
        if len(contact.node_id) != ID_BYTES:
            raise ValueError("a table node needs an id of 20 bytes")
        self.row = row_of(contact)
        self.last_seen = now
        self.failures = 0

    @property
    def contact(self) -> Contact:
        return self.row.contact

    @property
    def id(self) -> bytes:
        return self.row.contact.node_id

    @property
    def long_id(self) -> int:
        return self.row.number


class Bucket(KBucket):  # type: ignore[misc]
    """A k-bucket: nodes in order of their last sign of life, oldest first, and as many replacements.

    `add_node`, `is_new_node` and `has_in_range` are kademlia's.
    """

    # Why: stock buckets keep ordered dicts, thrice as large, though a dict keeps its order, too; and hold both ends
    # of their range. Here it follows from our own id and the index, and there are as many replacements as nodes.
    def __init__(self, own: int, index: int, ksize: int) -> None:
        self.nodes: dict[bytes, TableNode] = {}
        self.replacement_nodes: dict[bytes, TableNode] = {}
        self.ksize = self.max_replacement_nodes = ksize
        self._own = own
        self._index = index

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest id that falls in here."""
        span = 1 << (self._index - 1)
        low = (self._own ^ span) & ~(span - 1)
        return low, low + span - 1

    def renew(self, node: TableNode) -> bool:
        """The node gave a sign of life: it is the last in its order now. False for a replacement."""
        order = self.nodes if node.id in self.nodes else self.replacement_nodes
        order[node.id] = order.pop(node.id)
        return order is self.nodes

    # Why: stock copies all of the nodes for the first.
    def head(self) -> TableNode:
        """The node heard of longest ago."""
        return next(iter(self.nodes.values()))

    @property
    def is_crammed(self) -> bool:
        """Whether there is room neither among the nodes nor among the replacements."""
        return len(self.nodes) + len(self.replacement_nodes) >= 2 * self.ksize

    def anywhere(self, node_id: bytes) -> TableNode | None:
        """The node or replacement of that id."""
        return self.nodes.get(node_id) or self.replacement_nodes.get(node_id)

    def stalest_replacement(self) -> TableNode:
        """The replacement that gives way to a new one."""
        return next(iter(self.replacement_nodes.values()))

    # Why: stock lets the replacement added last move up, be it failing, and takes it for the node heard of
    # last. Here the one heard of last among those with the fewest failures does, into its place by that time.
    def remove_node(self, node: TableNode) -> None:
        self.replacement_nodes.pop(node.id, None)
        if self.nodes.pop(node.id, None) is None or not self.replacement_nodes:
            return
        heir = min(reversed(self.replacement_nodes.values()), key=lambda waiting: waiting.failures)
        del self.replacement_nodes[heir.id]
        self.nodes[heir.id] = heir
        for later in [other for other in self.nodes.values() if other.last_seen > heir.last_seen]:
            self.nodes[later.id] = self.nodes.pop(later.id)

    # Why: stock reads the clock here. The table is pure; it keeps its own times.
    def touch_last_updated(self) -> None:
        self.last_updated = 0.0

    # Why: stock splits by the prefix that a bucket's ids happen to share, so crafted ids make thousands of
    # buckets. Ours are indexed by the length of the XOR distance: at most 160, never split.
    def split(self) -> Never:
        _closed("KBucket.split")

    def depth(self) -> Never:
        _closed("KBucket.depth")


class AdaptedTable(RoutingTable):  # type: ignore[misc]
    """kademlia's table interface for a table whose buckets are found by XOR distance."""

    # Why: stock keeps the protocol in order to send pings from inside the table, and one root bucket of
    # range 0..2**160. A table decides; sending is for its driver.
    def __init__(self, node_id: bytes, ksize: int) -> None:
        if len(node_id) != ID_BYTES:
            raise ValueError("a table needs an id of 20 bytes")
        self.node = Node(node_id)
        self.ksize = ksize
        self.flush()

    # Why: buckets exist as soon as they hold somebody; there is no root bucket to split.
    def flush(self) -> None:
        self.buckets: dict[int, Bucket] = {}

    # Why: stock uses '<' on an inclusive bound and scans; the distance's length is the index.
    def get_bucket_for(self, node: Node) -> int:
        return int(self.node.long_id ^ node.long_id).bit_length()

    def bucket(self, index: int) -> Bucket:
        """The bucket for distances of that bit length, 1 to 160, made on first use."""
        found = self.buckets.get(index)
        if found is None:
            if not 0 < index <= ID_BITS:
                raise ValueError("a node has no bucket for itself")
            found = self.buckets[index] = Bucket(self.node.long_id, index, self.ksize)
        return found

    # Why: stock inserts whoever sent anything, pings from here without limit, and keeps stale addresses.
    # `routing.Table.answered` takes contacts, and only after they answered a request of ours.
    def add_contact(self, node: Node) -> Never:
        _closed("RoutingTable.add_contact")

    # Why: stock removes after one lost datagram; `routing.Table.failed` counts.
    def remove_contact(self, node: Node) -> Never:
        _closed("RoutingTable.remove_contact")

    # Why: stock walks buckets left and right in turn and stops at the first k, which are not the closest.
    def find_neighbors(self, node: Node, k: int | None = None, exclude: Node | None = None) -> Never:
        _closed("RoutingTable.find_neighbors")

    def split_bucket(self, index: int) -> Never:
        _closed("RoutingTable.split_bucket")

    # Why: stock asks the clock, and a remote query counts as a refresh. See `routing.Table.stale`.
    def lonely_buckets(self) -> Never:
        _closed("RoutingTable.lonely_buckets")


class AdaptedProtocol(KademliaProtocol):  # type: ignore[misc]
    """kademlia's protocol with every network-facing method closed or left to `rpc.Rpc`."""

    # Why: stock hard-codes its RoutingTable class and a fixed wait of 5 s.
    def __init__(self, router: AdaptedTable) -> None:
        RPCProtocol.__init__(self)
        self.router = router
        self.source_node = router.node
        self.storage = None  # records live above the core; stock `storage or …` drops an empty one

    # Why: stock turns every misspelt attribute into a remote call that waits 5 s.
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Why: stock starts a task per datagram, in which junk raises and is logged with a traceback.
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        raise NotImplementedError

    async def _solve_datagram(self, datagram: bytes, address: tuple[str, int]) -> Never:
        _closed("RPCProtocol._solve_datagram")

    # Why: stock looks methods up by a name from the network and calls them with arguments from there.
    async def _accept_request(self, msg_id: bytes, data: object, address: tuple[str, int]) -> Never:
        _closed("RPCProtocol._accept_request")

    # Why: stock inserts any sender and pushes records at it: one forged ping draws 31 datagrams.
    def welcome_if_new(self, node: Node) -> Never:
        _closed("KademliaProtocol.welcome_if_new")

    def handle_call_response(self, result: object, node: Node) -> Never:
        _closed("KademliaProtocol.handle_call_response")

    # Why: stock draws from the module's random source, for buckets that nobody asked about for an hour.
    def get_refresh_ids(self) -> Never:
        _closed("KademliaProtocol.get_refresh_ids")

    # Why: one value per key, no proof, no cap, no expiry; and replies that carry no id of the responder.
    def rpc_stun(self, sender: object) -> Never:
        _closed("rpc_stun")

    def rpc_ping(self, sender: object, nodeid: object) -> Never:
        _closed("rpc_ping")

    def rpc_store(self, sender: object, nodeid: object, key: object, value: object) -> Never:
        _closed("rpc_store")

    def rpc_find_node(self, sender: object, nodeid: object, key: object) -> Never:
        _closed("rpc_find_node")

    def rpc_find_value(self, sender: object, nodeid: object, key: object) -> Never:
        _closed("rpc_find_value")

    # Why: their answers go to `handle_call_response`; calls go through `Rpc.call`.
    async def call_find_node(self, node_to_ask: object, node_to_find: object) -> Never:
        _closed("call_find_node")

    async def call_find_value(self, node_to_ask: object, node_to_find: object) -> Never:
        _closed("call_find_value")

    async def call_ping(self, node_to_ask: object) -> Never:
        _closed("call_ping")

    async def call_store(self, node_to_ask: object, key: object, value: object) -> Never:
        _closed("call_store")
