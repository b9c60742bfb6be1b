"""How far the number of a day can be trusted (spec 10 §2).

- ``error_bars``: how many runs were on at once at least and at most, where that is unsure; pure.
- ``quality``: what is said of a customer's day: its state, error bars, and seconds of gaps.
"""
