"""What a poll leaves behind for those who ask later why (spec 09 P5, P14). Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime

from api.clouds.azure.compare import POWER_OFF, POWER_ON, Changes, KnownInstance, NewEvent
from api.models import CloudAccount, Correction, DescribeRun, InstanceEvent, InstanceFact

SOURCE = "azure_poll"

_OUR_OWN_DOING = frozenset(
    {
        InstanceEvent.Origin.DISABLE,
        InstanceEvent.Origin.PAUSE,
        InstanceEvent.Origin.ACCOUNT_CHANGE,
    }
)
"""Origins of events that said nothing of the machine, so that a poll can not contradict them."""


def facts_of(
    changes: Changes, instance_ids: Mapping[str, int], now: datetime
) -> Iterator[InstanceFact]:
    """Make the rows for facts that differ from the last ones."""
    for key, facts in changes.facts.items():
        yield InstanceFact(
            instance_id=instance_ids[key], observed_at=now, source=SOURCE, **asdict(facts)
        )


def corrections_of(
    changes: Changes,
    known: Mapping[str, KnownInstance],
    instance_ids: Mapping[str, int],
    event_ids: Mapping[int, int],
    account: CloudAccount,
    run: DescribeRun,
    previous: DescribeRun | None,
) -> Iterator[Correction]:
    """Make a row for each machine that was switched since we last looked: it is not sure when.

    ``previous`` is the account's last poll that saw everything. What happened before the account
    was enabled is nothing that we missed.
    """
    looked_at = previous.finished_at if previous else None
    if account.enabled_at and looked_at and looked_at < account.enabled_at:
        looked_at = None
    for event in changes.events:
        instance = known.get(event.key)
        kind = _kind(event, instance, looked_at)
        if kind is not None:
            moments = (looked_at, account.enabled_at, instance.changed_at if instance else None)
            instance_id = instance_ids[event.key]
            yield Correction(
                event_id=event_ids.get(instance_id),
                instance_id=instance_id,
                cloud_account=account,
                describe_run=run,
                kind=kind,
                unsure_from=max((moment for moment in moments if moment), default=None),
                unsure_to=event.occurred_at,
            )


def _kind(
    event: NewEvent, instance: KnownInstance | None, looked_at: datetime | None
) -> str | None:
    power = instance.power if instance else None
    if event.event_type == POWER_OFF:
        return Correction.Kind.MISSED_OFF if power == POWER_ON else None
    if event.event_type != POWER_ON or (power is None and looked_at is None):
        return None
    if instance is not None and instance.power_origin in _OUR_OWN_DOING:
        return None
    return Correction.Kind.MISSED_ON
