"""Draw a month of RHEL hours as bars of text, one a day. Needs nothing but Python.

    URL=https://... IDENTITY=... python plot_usage.py 2023-03

``URL`` is the address of the API up to ``/v2``; ``IDENTITY`` the value of the header X-RH-IDENTITY.
"""

import datetime
import json
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

WIDTH = 60


def read_month(url: str, identity: str, month: str) -> Iterator[dict[str, Any]]:
    """Yield the days of a month such as ``2023-03``, up to today."""
    start = datetime.date.fromisoformat(f"{month}-01")
    tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    end = min((start + datetime.timedelta(days=31)).replace(day=1), tomorrow)
    query = urllib.parse.urlencode({"start": start, "end": end, "limit": 31})
    request = urllib.request.Request(
        f"{url.rstrip('/')}/usage/?{query}", headers={"X-RH-IDENTITY": identity}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        yield from json.load(answer)["data"]


def bars(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each row; the longest bar is that of the most vCPU-hours."""
    rows = list(rows)
    most = max((row["vcpu_seconds"] for row in rows), default=0) or 1
    for row in rows:
        bar = "#" * round(WIDTH * row["vcpu_seconds"] / most)
        hours = f"{float(row['vcpu_hours']):>12,.1f} vCPU h"
        note = "" if row["final"] else "  (not final)"
        yield f"{row['start'][:10]} {hours}  peak {row['peak']:>6}  {bar}{note}"


if __name__ == "__main__":
    for line in bars(read_month(os.environ["URL"], os.environ["IDENTITY"], sys.argv[1])):
        print(line)
