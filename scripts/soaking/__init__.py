"""A long life in a short time: see `scripts/soak`."""
