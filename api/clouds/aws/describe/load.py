"""Load: what a look at an account's regions shows, in short transactions (spec 04 §7.3).

A region that cannot be stored spoils no other one.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.db import OperationalError

from api.clouds.aws.describe.diff import Look, switches
from api.clouds.aws.describe.records import (
    Stored,
    Survey,
    contradictions_of,
    events_of,
    listed_ids,
    observations_of,
    types_of,
)
from api.clouds.aws.images import (
    SavedImages,
    WantedImage,
    inspect_after_all,
    save_images,
    store_tags,
)
from api.clouds.aws.selectors import Account, load_metered
from api.clouds.corrections import save_corrections
from api.clouds.facts import save_facts
from api.clouds.load import (
    FoundInstance,
    PowerState,
    SavedInstances,
    power_states,
    save_events,
    save_instances,
    untyped_instances,
)
from api.images.users import START_INSPECTIONS
from api.metering.locking import lock_metering_of_accounts
from api.metering.runs import recalculate_runs
from api.models import CloudType, DescribeRun
from api.models.locking import lock_users
from util.tasks import enqueue

logger = logging.getLogger(__name__)

INSTANCES_AT_ONCE = 2000
"""About how many instances are stored in one transaction."""


def store_all(survey: Survey, looks: Sequence[Look]) -> None:
    """Store what was read, as long as the account is metered; a failure is noted in its look.

    Raises ``OperationalError`` if the database is away or busy.
    """
    for group in _groups(looks):
        if not _store_together_or_apart(survey, group):
            return


def _groups(looks: Iterable[Look]) -> Iterator[list[Look]]:
    """Put small regions together, so that they share a transaction."""
    group: list[Look] = []
    size = 0
    for look in looks:
        if group and size + len(look.seen) > INSTANCES_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(look)
        size += len(look.seen)
    if group:
        yield group


def _store_together_or_apart(survey: Survey, group: Sequence[Look]) -> bool:
    """Store regions at once or, if that fails, each for itself; returns whether to go on."""
    try:
        return store_looks(survey, group)
    except OperationalError:
        # It would concern all of them.
        raise
    except Exception as error:
        if len(group) == 1:
            logger.exception(
                "AWS account %s: what was read in %s cannot be stored",
                survey.account.aws_account_id,
                group[0].region,
            )
            group[0].problem = error
            return True
    return all(_store_together_or_apart(survey, [look]) for look in group)


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
    run_ids = _save_runs(survey, looks)
    known = power_states(
        account_id=survey.account.id,
        regions=[look.region for look in looks],
        cloud_instance_ids=[one.instance.instance_id for look in looks for one in look.seen],
    )
    missing = list(switches(looks, known, seen=survey.seen, rules=survey.rules))
    images = save_images(_wanted_images(survey, looks))
    untagged = store_tags(images, shown=survey.shown)
    instances = _save_instances(survey, looks, images)
    stored = Stored(run_ids, _ids(survey, known, instances), instances.image_filled)
    untyped = untyped_instances(listed_ids(looks, stored))
    typed = types_of(survey, looks, stored, untyped)
    events = save_events([*events_of(survey, missing, stored), *(one.event for one in typed)])
    save_facts(observations_of(survey, looks, stored))
    save_corrections(
        contradictions_of(survey, looks, missing, typed, stored, events),
        before=min(look.started_at for look in looks),
    )
    touched = {event.instance_id for event in events} | instances.image_filled
    recalculate_runs(user_id=survey.account.user_id, instance_ids=touched)
    _start_inspections(survey, looks, images)
    inspect_after_all(images, untagged)


def _save_runs(survey: Survey, looks: Iterable[Look]) -> dict[str, int]:
    """Record the looks, unless at nothing but images (09 P4); returns their ids by region."""
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
        if look.is_complete or look.seen
    )
    return {run.region: run.id for run in runs}


def _wanted_images(survey: Survey, looks: Iterable[Look]) -> Iterator[WantedImage]:
    """Yield the images that instances use; Windows is what an instance says it runs (§7.4).

    Of an image whose instances are not listed, the image itself says it.
    """
    for look in looks:
        used = {one.instance.image_id for one in look.listed}
        windows = {one.instance.image_id for one in look.listed if one.instance.is_windows}
        for ami_id in look.ami_ids:
            described = survey.images.get(ami_id)
            by_itself = bool(described and described.is_windows)
            is_windows = ami_id in windows if ami_id in used else by_itself
            yield WantedImage(ami_id, described, look.region, is_windows)


def _save_instances(survey: Survey, looks: Iterable[Look], images: SavedImages) -> SavedInstances:
    saved = save_instances(
        cloud_type=str(CloudType.AWS),
        found=[
            FoundInstance(
                one.instance.instance_id,
                survey.account.id,
                look.region,
                images.id_of(one.instance.image_id),
            )
            for look in looks
            for one in look.listed
        ],
    )
    for name in sorted(saved.foreign):
        logger.error("Instance %s is another account's; its description is dropped", name)
    return saved


def _ids(
    survey: Survey, known: Mapping[str, PowerState], instances: SavedInstances
) -> dict[str, int]:
    """Return the ids of all instances of the account that are listed or known there, by name."""
    return {name: state.instance_id for name, state in known.items()} | {
        name: row.id for name, row in instances.known.items() if row.account_id == survey.account.id
    }


def _start_inspections(survey: Survey, looks: Iterable[Look], images: SavedImages) -> None:
    """Queue the inspection of new images, once each, unless all their instances are Windows."""
    wanted: dict[str, str] = {}
    for look in looks:
        used = {one.instance.image_id for one in look.listed}
        candidates = {one.instance.image_id for one in look.listed if not one.instance.is_windows}
        candidates |= {
            ami_id
            for ami_id in look.asked_images - used
            if ami_id in survey.images and not survey.images[ami_id].is_windows
        }
        wanted |= {ami_id: look.region for ami_id in candidates if ami_id and ami_id in images.new}
    if wanted:
        arn = survey.account.arn
        enqueue(START_INSPECTIONS, [[arn, ami_id, wanted[ami_id]] for ami_id in sorted(wanted)])
