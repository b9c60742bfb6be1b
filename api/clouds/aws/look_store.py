"""Load: what a look at an account's regions shows, in one short transaction (spec 04 §7.3).

All of it is dated by PostgreSQL's clock, or by what EC2 tells (decisions 31 and 41).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from api.clouds.aws.describe import DescribedImage
from api.clouds.aws.images import SavedImages, WantedImage, save_images
from api.clouds.aws.knowledge import Account, load_metered
from api.clouds.aws.looks import Look, Rules, Seen, Switch, switches
from api.clouds.corrections import Contradiction, save_corrections
from api.clouds.facts import Observation, save_facts
from api.clouds.load import (
    FoundInstance,
    NewEvent,
    SavedInstances,
    StoredEvent,
    power_states,
    save_events,
    save_instances,
)
from api.metering.locking import lock_metering_of_accounts
from api.metering.runs import recalculate_runs
from api.models import CloudType, Correction, DescribeRun, InstanceEvent
from api.models.locking import lock_users
from util.tasks import enqueue

logger = logging.getLogger(__name__)

START_INSPECTIONS = "api.tasks.start_image_inspections"

_ORIGINS = {
    DescribeRun.Kind.INITIAL: InstanceEvent.Origin.DESCRIBE_INITIAL,
    DescribeRun.Kind.RECONCILE: InstanceEvent.Origin.DESCRIBE_RECONCILE,
}


@dataclass(frozen=True, slots=True)
class Survey:
    """A look at a whole account, of which some regions are to be stored.

    ``seen`` are all instances that are listed in any region, by their ids in lower case.
    """

    account: Account
    kind: str
    rules: Rules
    seen: Mapping[str, Seen]
    images: Mapping[str, DescribedImage]


def store_looks(survey: Survey, looks: Sequence[Look]) -> bool:
    """Store what some regions show, unless the account is not metered as it was.

    Returns whether it still is: one that was disabled meanwhile, or disabled and enabled again, is
    not. Inspections of new images are queued when all is committed.
    """
    with lock_users([survey.account.user_id]):
        account = load_metered(survey.account.id)
        if account is None or _is_another(account, survey.account):
            logger.info("AWS account %s is not metered any more", survey.account.aws_account_id)
            return False
        lock_metering_of_accounts(survey.account.user_id)
        _store(survey, looks)
    return True


def _is_another(account: Account, asked: Account) -> bool:
    return account.arn != asked.arn or account.enabled_at != asked.enabled_at


def _store(survey: Survey, looks: Sequence[Look]) -> None:
    account = survey.account
    runs = _save_runs(survey, looks)
    known = power_states(
        account_id=account.id,
        regions=[look.region for look in looks],
        cloud_instance_ids=[one.instance.instance_id for look in looks for one in look.seen],
    )
    missing = list(switches(looks, known, seen=survey.seen, rules=survey.rules))
    listed = [(look, one) for look in looks for one in look.listed]
    images = save_images(_wanted_images(survey, looks))
    instances = save_instances(
        cloud_type=str(CloudType.AWS),
        found=[
            FoundInstance(
                one.instance.instance_id,
                account.id,
                look.region,
                images.id_of(one.instance.image_id),
            )
            for look, one in listed
        ],
    )
    for name in sorted(instances.foreign):
        logger.error("Instance %s is another account's; its description is dropped", name)
    ids = {name: state.instance_id for name, state in known.items()} | {
        name: row.id for name, row in instances.known.items() if row.account_id == account.id
    }
    events = save_events(list(_events(survey, missing, ids, runs)))
    save_facts(_observations(survey, listed, ids))
    corrected = _missed(survey, missing, ids, runs, events)
    corrected += _filled(survey, listed, runs, instances)
    save_corrections(corrected, before=min(look.started_at for look in looks))
    touched = {event.instance_id for event in events} | instances.image_filled
    recalculate_runs(user_id=account.user_id, instance_ids=touched)
    _start_inspections(survey, listed, images)


def _save_runs(survey: Survey, looks: Iterable[Look]) -> dict[str, int]:
    runs = DescribeRun.objects.bulk_create(
        DescribeRun(
            cloud_account_id=survey.account.id,
            region=look.region,
            kind=survey.kind,
            started_at=look.started_at,
            finished_at=look.finished_at,
            outcome=DescribeRun.Outcome.OK,
            listed=len(look.listed),
            running=look.running,
        )
        for look in looks
    )
    return {run.region: run.id for run in runs}


def _wanted_images(survey: Survey, looks: Iterable[Look]) -> Iterator[WantedImage]:
    """Yield the images that instances use; Windows is what an instance says it runs (§7.4)."""
    for look in looks:
        instances = [one.instance for one in look.listed if one.instance.image_id]
        windows = {one.image_id for one in instances if one.is_windows}
        for ami_id in {one.image_id for one in instances if one.image_id}:
            described = survey.images.get(ami_id)
            yield WantedImage(ami_id, described, look.region, is_windows=ami_id in windows)


def _events(
    survey: Survey, missing: Iterable[Switch], ids: Mapping[str, int], runs: Mapping[str, int]
) -> Iterator[NewEvent]:
    for switch in missing:
        instance = switch.instance
        if switch.cloud_instance_id in ids:
            yield NewEvent(
                instance_id=ids[switch.cloud_instance_id],
                account_id=survey.account.id,
                event_type=switch.event_type,
                occurred_at=switch.at,
                instance_type=instance.instance_type if instance else None,
                subnet=instance.subnet if instance else None,
                origin=_ORIGINS[survey.kind],
                source_id=str(runs[switch.look.region]),
                source_name="DescribeInstances",
            )


def _observations(
    survey: Survey, listed: Iterable[tuple[Look, Seen]], ids: Mapping[str, int]
) -> Iterator[Observation]:
    source = _ORIGINS[survey.kind]
    for _, one in listed:
        instance_id = ids.get(one.instance.instance_id.lower())
        if instance_id is not None:
            yield Observation(instance_id, one.read_at, source, one.instance.facts)


def _missed(
    survey: Survey,
    missing: Iterable[Switch],
    ids: Mapping[str, int],
    runs: Mapping[str, int],
    events: Iterable[StoredEvent],
) -> list[Contradiction]:
    """Return the power events that had been missed (09 P5)."""
    event_ids = {(event.instance_id, event.event_type): event.id for event in events}
    found = []
    for switch in missing:
        instance_id = ids.get(switch.cloud_instance_id)
        event_id = event_ids.get((instance_id or 0, switch.event_type))
        if switch.missed and instance_id and event_id:
            found.append(
                Contradiction(
                    instance_id,
                    survey.account.id,
                    switch.missed,
                    switch.at,
                    event_id,
                    runs[switch.look.region],
                    is_exact=switch.is_exact,
                    asked_at=switch.asked_at,
                )
            )
    return found


def _filled(
    survey: Survey,
    listed: Iterable[tuple[Look, Seen]],
    runs: Mapping[str, int],
    instances: SavedInstances,
) -> list[Contradiction]:
    """Return the instances of which we had not known the image (09 P5)."""
    found = {}
    for look, one in listed:
        row = instances.of(survey.account.id, one.instance.instance_id)
        if row and row.id in instances.image_filled:
            found[row.id] = Contradiction(
                row.id,
                survey.account.id,
                Correction.Kind.IMAGE_FILLED,
                one.read_at,
                describe_run_id=runs[look.region],
                asked_at=one.asked_at,
            )
    return list(found.values())


def _start_inspections(
    survey: Survey, listed: Iterable[tuple[Look, Seen]], images: SavedImages
) -> None:
    """Queue the inspection of new images, once each, unless all their instances are Windows."""
    wanted = {
        one.instance.image_id: look.region
        for look, one in listed
        if one.instance.image_id in images.new and not one.instance.is_windows
    }
    if wanted:
        arn = survey.account.arn
        enqueue(START_INSPECTIONS, [[arn, ami_id, wanted[ami_id]] for ami_id in sorted(wanted)])
