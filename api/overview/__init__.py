"""What operators see on the pages of the console (spec 12 §1): selectors, which change nothing.

- ``queues``: how many messages and tasks wait.
- ``troubles``: what needs somebody to look at it.
- ``samples``: the state of the whole fleet, measured each minute and stored.
- ``coverage``: how far numbers can be trusted.
- ``fleet``: the newest sample, and the last day's.
- ``customer``: usage, accounts, images, changes and findings of one customer.
- ``day``: one day's number, the runs behind it, and how many were on at each time.
- ``instance``, ``image``: one of them, with all that is known.
- ``search``: what an id belongs to.
"""
