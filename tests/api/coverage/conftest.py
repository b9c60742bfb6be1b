"""The customer of the tests of metering, whose days are covered."""

from datetime import timedelta

import pytest

from api.models import AccountState, AuditedDay, Correction, CoverageDay, DescribeRun
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at, day


@pytest.fixture
def environment(db, queued):
    """A customer without instances."""
    return Environment()


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


def describe(account, *begun, region="us-east-1", outcome="ok", kind="reconcile"):
    """Store describes of a minute each that began at these moments."""
    for text in begun:
        DescribeRun.objects.create(
            cloud_account=account,
            region=region,
            kind=kind,
            outcome=outcome,
            started_at=at(text),
            finished_at=at(text) + timedelta(minutes=1),
        )


def audit(*numbers):
    """Note that days in March were audited at two o'clock of the next day."""
    for number in numbers:
        AuditedDay.objects.create(day=day(number), audited_at=at(f"{number + 1:02}T02"))


def switch(account, *changes):
    """Record changes of an account's state, written like ``10T10 enabled paused``."""
    for text in changes:
        when, before, after = text.split()
        AccountState.objects.create(
            account_id=account.id,
            cloud_type=account.cloud_type,
            cloud_account_number=account.cloud_account_number,
            user_id=account.user_id,
            at=at(when),
            from_state=before,
            to_state=after,
            cause="api",
        )


def covered(account, number):
    """Return the stored coverage of a day in March; None without any."""
    return CoverageDay.objects.filter(cloud_account=account, date=day(number)).first()


def gaps_of(row):
    """Write the stored gaps as ``10T06:00 10T12:00 reason``."""
    return [f"{one['from'][8:16]} {one['to'][8:16]} {one['reason']}" for one in row.gaps]
