"""Why a number is what it is, and how far it can be trusted (spec 10).

- ``witness``: which runs make a day's maximum; pure.
- ``course``: how many runs are on at each time of a day; pure.
- ``explain``: a stored number, the runs behind it, and the records behind those.
- ``mismatches``: days whose stored number was not that of the runs behind it.
- ``explained``: remembers that for the next page.
- ``reasons``: since when and why an image counts as RHEL.
- ``usage_changes``: how stored numbers changed, and what made them change.
- ``corrections``: what describes found that no event had told, and what explained it later.
- ``timeline``: everything that is known of one instance, by time.
"""
