"""A swarm over rate-limited lines: dhtshare's own processes, and libtorrent beside them, each host in a network
namespace of its own.

links.py lays the lines, ours.py and torrents.py run the two programs over them, scenarios.py says what is compared.
"""
