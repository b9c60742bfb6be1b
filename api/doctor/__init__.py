"""What is late, stuck, failing or missing in the whole system (spec 12 §2, §3).

``findings`` says what a finding is; ``processes``, ``work``, ``clouds`` and ``queues`` hold the
checks, one function each; ``examination`` runs all of them. ``manage.py doctor`` shows the result.
"""
