"""Coming from the original service.

- ``recognition``: whether a database is the original's.
"""
