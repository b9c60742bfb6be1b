"""Who is paid for the RHEL of an instance: its owner's subscription, the cloud, or both (11 §2).

Nothing here changes a count. The modules in the order of the data:

- ``tables.json``: what clouds call the ways of paying, and what each means.
- ``classes``: from what is known of an instance to its class, as SQL.
- ``stretches``: the class of an instance at a time.
- ``registrations``: which instances were registered when, from a file.
- ``uploads``: a checked file of an operator, between the console and the worker that stores it.
- ``findings``: what is wrong, in one pass over a customer's runs, with its ``evidence``.
- ``unknown``: logs what clouds say and no table knows.
- ``summary``: keeps what is wrong now, for the metric and for lists of instances.
"""
