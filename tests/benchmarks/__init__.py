"""Benchmarks: ``make bench``, or ``python -m tests.benchmarks [part of a name ...]``.

Each module ``bench_*.py`` of this package holds subclasses of ``suite.Suite`` with the operations
to measure. Every operation runs several times against an embedded PostgreSQL; the table and
``build/bench.json`` show medians. No ``bench_*.py`` is run by pytest. With ``--against REV`` two
revisions are measured in turn, and compared (``against``).
"""
