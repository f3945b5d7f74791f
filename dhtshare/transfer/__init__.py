"""How bytes move: TCP between peers. Knows neither the DHT nor this machine's library."""
