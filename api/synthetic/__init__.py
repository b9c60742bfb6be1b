"""Synthetic data: ``requests`` and their ``steps``, and the ``runs`` of synthetic instances."""
