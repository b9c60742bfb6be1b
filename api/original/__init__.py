"""Coming from the original service.

- ``recognition``: whether a database is the original's.
- ``source``: reads such a database, and never writes to it.
- ``queries``: what is read, and why some of it is left out.
- ``load``: writes it to ours.
- ``copying``: all of it, table by table.
"""
