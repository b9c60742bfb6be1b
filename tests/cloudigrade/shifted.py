"""Runs Celery with a clock that goes wrong: ``python -m tests.cloudigrade.shifted SECONDS ...``.

What follows are the arguments of the program ``celery``. Forked processes go wrong alike.
"""

import datetime
import sys

import time_machine
from celery.__main__ import main

if __name__ == "__main__":
    time_machine.travel(datetime.timedelta(seconds=float(sys.argv[1]))).start()
    sys.argv[1:] = sys.argv[2:]
    sys.exit(main())
