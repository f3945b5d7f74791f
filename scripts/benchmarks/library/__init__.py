"""What a library does to the disk and to the network, seen from outside a real node."""
