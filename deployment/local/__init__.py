"""Embedded services for the demo, the tests and the benchmarks: no Docker, no root, no network."""
