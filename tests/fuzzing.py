"""How many random queries a test of an API asks.

Chapter 11 wants 10,000: ``CLOUDIGRADE_FUZZED_QUERIES=10000 make test``. By default there are
fewer, so that all tests keep within their time on two cores.
"""

import os

FUZZED_QUERIES = int(os.environ.get("CLOUDIGRADE_FUZZED_QUERIES", "2000"))
