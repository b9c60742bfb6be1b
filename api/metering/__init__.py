"""From instance events to runs to daily maximum concurrent usage (spec 07).

``timeline``, ``facets`` and ``concurrency`` are pure functions on plain data: no Django, no I/O, no
clock. The other modules load for them and store what they say.
"""
