"""Corrections in the database."""

from api.clouds.corrections import explain_corrections
from api.models import Correction, DescribeRun
from tests import factories
from tests.api.metering.notation import at

MISSED_OFF = Correction.Kind.MISSED_OFF


def correct(instance, *, kind=MISSED_OFF, moment="11T12", since="11T06", **columns):
    """Store what a describe at a moment makes of an instance."""
    run = DescribeRun.objects.create(
        cloud_account=instance.cloud_account,
        kind="reconcile",
        started_at=at(moment),
        outcome="ok",
    )
    event = factories.make_event(
        instance=instance,
        event_type="power_off" if kind == MISSED_OFF else "power_on",
        occurred_at=at(moment),
        origin="describe_reconcile",
        source_id=str(run.id),
    )
    defaults = {
        "event_id": event.id,
        "describe_run": run,
        "cloud_account": instance.cloud_account,
        "kind": kind,
        "unsure_from": at(since),
        "unsure_to": at(moment),
        "created_at": at(moment),
    }
    return Correction.objects.create(instance=instance, **(defaults | columns))


def late(instance, moment, event_type="power_off", origin="cloudtrail"):
    """Store an event of a log, and let it explain what it can."""
    event = factories.make_event(
        instance=instance, event_type=event_type, occurred_at=at(moment), origin=origin
    )
    explain_corrections([event.id])
    return event
