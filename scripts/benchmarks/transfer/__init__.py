"""Moving bytes over loopback: dhtshare, libtorrent and the least that a transfer can be, side by side in one run."""
