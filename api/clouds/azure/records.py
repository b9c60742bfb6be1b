"""What a poll leaves behind for those who ask later why (spec 09 P5, P14). Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime

from api.clouds.azure.compare import POWER_OFF, POWER_ON, Changes, KnownMachine, SeenEvent
from api.clouds.corrections import NewCorrection
from api.models import Correction, DescribeRun, InstanceEvent, InstanceFact

SOURCE = "azure_poll"

_OUR_OWN_DOING = frozenset(
    {
        InstanceEvent.Origin.DISABLE,
        InstanceEvent.Origin.PAUSE,
        InstanceEvent.Origin.ACCOUNT_CHANGE,
    }
)
"""Origins of events that said nothing of the machine, so that a poll cannot contradict them."""


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
    known: Mapping[str, KnownMachine],
    instance_ids: Mapping[str, int],
    event_ids: Mapping[tuple[int, str], int],
    *,
    run: DescribeRun,
    is_first: bool,
) -> Iterator[NewCorrection]:
    """Return which machines were switched since we last looked: it is not sure when.

    ``is_first`` says that we have not looked since the account was enabled; what was on before is
    nothing that we missed.
    """
    for event in changes.events:
        kind = _kind(event, known.get(event.key), is_first)
        if kind is not None:
            instance_id = instance_ids[event.key]
            yield NewCorrection(
                instance_id=instance_id,
                account_id=run.cloud_account_id,
                kind=kind,
                seen_at=event.occurred_at,
                event_id=event_ids.get((instance_id, event.event_type)),
                describe_run_id=run.id,
            )


def _kind(event: SeenEvent, instance: KnownMachine | None, is_first: bool) -> str | None:
    power = instance.power if instance else None
    if event.event_type == POWER_OFF:
        return Correction.Kind.MISSED_OFF if power == POWER_ON else None
    if event.event_type != POWER_ON or (power is None and is_first):
        return None
    if instance is not None and instance.power_origin in _OUR_OWN_DOING:
        return None
    return Correction.Kind.MISSED_ON
