"""What is late, stuck, failing or missing in the whole system (spec 12 §2, §3).

``findings`` says what a finding is; ``processes``, ``work``, ``numbers``, ``clouds`` and ``queues``
hold the checks, one function each; ``examination`` runs all of them. ``manage.py doctor`` shows the
result, and so does the console's first page.
"""
