"""Whole tables of a customer's data as CSV or NDJSON (spec 11 §4, §5).

Nothing is paged, and nothing held in memory: PostgreSQL writes the rows of one statement, which is
one snapshot, and they are passed on as they come. The modules in the order of the data:

- ``columns``: what a column is, and its SQL in each format.
- ``tables``: a table to export: columns, SQL of its rows, and parameters.
- ``kinds``: from what a request asks for to the tables that there are.
- ``usage``: that of hours and high-water marks, which is made of a question.
- ``parquet``: rows as Parquet, where pyarrow is installed.
- ``copying``: COPY of such a table, to a file or as blocks of bytes.
- ``jobs``: exports that are too large for a request, written by workers.
"""
