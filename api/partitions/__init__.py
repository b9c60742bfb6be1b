"""Events by the month in which they occurred, runs by that in which they ended, as partitions.

On a live database (spec 15 §1, §2), for ``manage.py partition_events``; nothing else of the product
knows of partitions. The modules in the order of the data:

- ``months``: months, and the bounds of their partitions.
- ``tables``: the two tables, and the names of what belongs to each.
- ``catalog``: what PostgreSQL says of a table, of its parts, and of what is under way.
- ``twin``: SQL of the partitioned twin, of what keeps it equal, and of the exchange of names.
- ``ahead``: partitions for months to come, and for what came late.
- ``plan``: what would be done.
- ``partitioning``: doing it, in steps that may be interrupted anywhere.
- ``files``: a table of events as a file, and back.
- ``archive``: a month of events out to a file, and back.
"""
