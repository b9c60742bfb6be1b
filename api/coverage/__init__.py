"""How far the number of a day can be trusted (spec 10 §2).

- ``days``: which days of which accounts have to be calculated.
- ``evidence``: what is known of these days, read for many accounts at once.
- ``proofs``: what that proves, and where the gaps are; pure.
- ``calculate``: from the evidence to the stored days.
- ``error_bars``: how many runs were on at once at least and at most, where that is unsure; pure.
- ``listing``: the stored days of a customer's accounts, page by page.
- ``overview``: how many accounts are in which state.
- ``quality``: what is said of a customer's day: its state, error bars, and seconds of gaps.
"""
