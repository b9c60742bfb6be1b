"""Checks the numbers that customers see (spec 10 §1)."""

from collections.abc import Iterator

from api.doctor.findings import MOST_NAMED, Finding, and_more
from api.trust.mismatches import recent_mismatches


def explained_numbers() -> Iterator[Finding]:
    """Report days of the last 24 hours whose number was not that of the runs behind it."""
    if found := recent_mismatches():
        named = ", ".join(f"user {one.user_id} on {one.day}" for one in found[:MOST_NAMED])
        yield Finding(
            f"{len(found)} days were not what their runs make: {named}{and_more(len(found))}.",
            "CloudigradeNumberUnexplained",
        )
