"""libtorrent's DHT as a process of its own, told not to hold back: what limits it is its code."""

from __future__ import annotations

import json
import sys
import time

import libtorrent as lt


def serve() -> None:
    """Introduced to the port given as argument, where nodes answer from many addresses. Until standard input ends."""
    introduced_to = int(sys.argv[1])
    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "dht_bootstrap_nodes": "",
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_ignore_dark_internet": False,
            "dht_prefer_verified_node_ids": False,
            "dht_upload_rate_limit": 1 << 30,
            "dht_block_ratelimit": 1 << 20,
            "dht_block_timeout": 1,
            "dht_aggressive_lookups": False,
            "recv_socket_buffer_size": 4 << 20,
            "send_socket_buffer_size": 4 << 20,
            "alert_mask": 0,
        }
    )
    session.apply_settings({"enable_dht": True})
    while not session.listen_port():
        time.sleep(0.05)
    for number in range(200):
        session.add_dht_node((f"127.{1 + number}.0.1", introduced_to))
    print(json.dumps({"port": session.listen_port()}), flush=True)
    sys.stdin.read()
    session.pause()


if __name__ == "__main__":
    serve()
