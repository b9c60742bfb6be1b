"""Tests of metering: the pure core, what is stored, how it converges, and synthetic data."""
