"""`dhtshare demo`: a whole network on this machine, in processes of their own.

Speaks to its nodes as any script would, by command lines and JSON, so it shows the contract and nothing else. Never
touches the user's home, the default network or the local network.
"""

from dhtshare.cli.demo.command import demo

__all__ = ["demo"]
