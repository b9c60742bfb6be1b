"""Hours, vCPU-hours, memory-hours and high-water marks of RHEL, by what they are for (spec 11 §1).

The modules in the order of the data:

- ``buckets``: the hours, days or months that are asked for.
- ``question``: what is asked for: buckets, dimensions, filters.
- ``statement``: the SQL that answers it from a customer's runs.
- ``stored``: the SQL that answers simple questions about days from what is stored for each day.
- ``totals``: days of many customers at once, for messages.
- ``usage``: which of them answers; the rows as they are shown.
"""
