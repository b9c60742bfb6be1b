"""The customer of the tests of metering, whose days are covered."""

import pytest

from api.models import Correction, CoverageDay
from tests.api.metering.conftest import World
from tests.api.metering.notation import at, day


@pytest.fixture
def world(db, queued):
    """A customer without instances."""
    return World()


def store_day(account, number, state="complete", gaps=(), **columns):
    """Store the coverage of a day in March; gaps are written like ``10T06 10T12 correction``."""
    return CoverageDay.objects.create(
        cloud_account=account, date=day(number), state=state, gaps=[*map(gap, gaps)], **columns
    )


def gap(text):
    """Read ``10T06 10T12 correction``."""
    since, until, reason = text.split()
    return {"from": iso(at(since)), "to": iso(at(until)), "reason": reason}


def iso(moment):
    return moment.isoformat().replace("+00:00", "Z")


def correct(instance, kind, since, until, **columns):
    """Store a correction of an instance."""
    return Correction.objects.create(
        instance=instance,
        cloud_account_id=instance.cloud_account_id,
        kind=kind,
        unsure_from=since and at(since),
        unsure_to=at(until),
        **columns,
    )
