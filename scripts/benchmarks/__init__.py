"""Benchmarks: each prints one JSON object with medians, worst runs, and a ratio to a limit of the same run."""
