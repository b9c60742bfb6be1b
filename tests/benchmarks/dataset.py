"""Benchmark data set L (spec 07 §14.3): one customer, 5,000 instances, 201,000 events, a year."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

SECOND = 1_000_000
DAY = 86_400
T0 = 1_640_995_200
"""2022-01-01T00:00:00Z, in seconds."""

JOINED = datetime(2022, 1, 1, tzinfo=UTC)
NOW = datetime(2023, 1, 1, 0, 30, tzinfo=UTC)
FIRST_DAY = date(2022, 1, 1)
LAST_DAY = date(2022, 12, 31)
TODAY = date(2023, 1, 1)

IMAGES = 60
ACCOUNTS = 4
INSTANCES = 5000
ALWAYS_ON = 1000
PAIRS = 25
INSTANCE_TYPE = "t2.micro"

EVENTS = 201_000
RUNS = 101_000
OPEN_RUNS = 1000
RHEL_RUNS = 90_900
SECONDS = 35_651_106_000
"""How long RHEL was on up to ``NOW``, all instances together (spec 11 §1)."""

TOTALS = {
    date(2022, 1, 1): 305,
    date(2022, 1, 2): 422,
    date(2022, 1, 3): 460,
    date(2022, 1, 31): 1289,
    date(2022, 7, 1): 1292,
    date(2022, 12, 31): 900,
    date(2023, 1, 1): 900,
}
LARGEST_TOTAL = 1302
SUM_OF_TOTALS = 423_413
SUM_OF_ENTRIES = 118_757
SUM_OF_COUNTS = 10_359_768
ENTRIES_A_DAY = 326
DIGEST = "2753cd50eb5087798656fbbb82e4f7374b73ca47118a06154a8c737f2d31fad6"

TURNED_IMAGE = 10
"""The image that becomes RHEL in operation O5."""
TURNED_SUM = 431_596
TURNED_LARGEST = 1327
TURNED_TOTALS = {
    date(2022, 1, 1): 312,
    date(2022, 7, 1): 1316,
    date(2022, 12, 31): 917,
}
TURNED_ENTRIES = 330
"""On 2022-07-01."""

_PRODUCT = "Red Hat Enterprise Linux"


class ImageFacts(NamedTuple):
    """What counts of an image."""

    is_rhel: bool
    arch: str
    role: str
    sla: str
    usage: str
    service_type: str


def image(number: int) -> ImageFacts:
    """Return the facts of an image."""
    return ImageFacts(
        number % 10 != 0,
        ["x86_64", "arm64"][number % 2],
        [f"{_PRODUCT} Server", f"{_PRODUCT} Workstation", f"{_PRODUCT} Compute Node"][number % 3],
        ["Premium", "Standard", "Self-Support", ""][number // 3 % 4],
        ["Production", "Development/Test"][number // 12 % 2],
        ["L1-L3", "L3", ""][number // 20 % 3],
    )


def power_seconds(instance: int) -> Iterator[tuple[int, str]]:
    """Return the events of an instance: seconds since 1970 and type, in the order of time."""
    if instance < ALWAYS_ON:
        yield T0 + instance % 30 * DAY + 37 * instance % DAY, "power_on"
        return
    for pair in range(PAIRS):
        start = T0 + 1_261_440 * pair + (7919 * instance + 104_729 * pair) % 864_000
        yield start, "power_on"
        yield start + 600 + (31 * instance + 17 * pair) % 345_600, "power_off"


def digest(days: Iterable[Iterable[Iterable]]) -> str:
    """Return the SHA-256 of the counts of days, each a list of five values and a number."""
    sha = hashlib.sha256()
    for entries in days:
        line = json.dumps(sorted(list(entry) for entry in entries), separators=(",", ":"))
        sha.update(line.encode() + b"\n")
    return sha.hexdigest()
