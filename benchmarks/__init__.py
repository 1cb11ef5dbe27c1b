"""Benchmarks: the same work by us and by a peer or a floor, in one run. One JSON line a figure on standard output."""
