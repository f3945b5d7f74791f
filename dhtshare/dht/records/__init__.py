"""Records of the DHT: what they are, who keeps them, how they are found, and how they are kept alive."""
