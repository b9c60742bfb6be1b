"""Django settings.

``local``, ``test`` and ``prod`` are chosen from; ``base`` is what they share.
"""
