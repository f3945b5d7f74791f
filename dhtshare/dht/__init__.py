"""Where records live: a Kademlia DHT on the packages kademlia and rpcudp. Never moves file bytes."""
