"""The table of events as partitions by month, on a live database (spec 15 §1, §2).

For ``manage.py partition_events``; nothing else of the product knows of partitions. The modules in
the order of the data:

- ``months``: months, and the names and bounds of their partitions.
- ``catalog``: what PostgreSQL says of the table, of its parts, and of what is under way.
- ``twin``: SQL of the partitioned twin, of what keeps it equal, and of the exchange of names.
- ``ahead``: partitions for months to come, and for what came late.
- ``plan``: what would be done.
- ``partitioning``: doing it, in steps that may be interrupted anywhere.
- ``archive``: a month out to a file, and back.
"""
