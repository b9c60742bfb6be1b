"""Make-believe customers with usage, for load and end-to-end tests (spec 07 §12).

A request is answered by a chain of steps. Each is one transaction and gives the id of its request,
or None if what it needs is not there, as then the following steps do. A step that was done already
does nothing, so that a message delivered twice does no harm.
"""

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from itertools import islice
from random import SystemRandom
from typing import Any

from django.db import transaction

from api.images.changes import create_images
from api.images.tags import OPENSHIFT, ImageTagChange, store_tags
from api.metering.days import Days
from api.metering.runs import recalculate_runs
from api.metering.usage import calculate_usage
from api.models import (
    AccountState,
    CloudAccount,
    CloudType,
    ImageFact,
    Instance,
    InstanceEvent,
    MachineImage,
    SyntheticDataRequest,
    User,
)
from api.synthetic.runs import Habits, draw_runs
from util import clock
from util.tasks import enqueue

logger = logging.getLogger(__name__)

FIRST_STEP = "api.tasks.synthesize_user"
FURTHER_STEPS = (
    "api.tasks.synthesize_cloud_accounts",
    "api.tasks.synthesize_images",
    "api.tasks.synthesize_instances",
    "api.tasks.synthesize_instance_events",
    "api.tasks.synthesize_runs_and_usage",
)

MARK = "SYNTHETIC"
"""What the ids of made-up things begin with."""

ROWS_AT_ONCE = 5000

ROLES = (
    "Red Hat Enterprise Linux Server",
    "Red Hat Enterprise Linux Workstation",
    "Red Hat Enterprise Linux Compute Node",
)
SLAS = ("Premium", "Standard", "Self-Support")
USAGES = ("Production", "Disaster Recovery", "Development/Test")
SERVICE_TYPES = ("PSF", "L3", "L1-L3", "Embedded L3")

REGIONS = {
    CloudType.AWS: ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "ap-southeast-2"),
    CloudType.AZURE: ("eastus", "westus2", "northeurope", "westeurope", "australiaeast"),
}
INSTANCE_TYPES = {
    CloudType.AWS: ("t2.micro", "t3.large", "m5.xlarge", "c5.2xlarge", "r5.large"),
    CloudType.AZURE: ("Standard_B2s", "Standard_D2s_v3", "Standard_D4s_v3", "Standard_E4s_v3"),
}

random = SystemRandom()

Step = Callable[..., int | None]


class MissingError(Exception):
    """What a step builds upon is not there."""


def _step(work: Callable[[SyntheticDataRequest], None]) -> Step:
    """Make a step: work on the locked request and give its id, or None if something is missing."""

    @wraps(work)
    def step(*, request_id: int | None) -> int | None:
        try:
            with transaction.atomic():
                if request_id is None:
                    raise MissingError("request")
                requests = SyntheticDataRequest.objects.select_for_update()
                request = requests.filter(id=request_id).first()
                if request is None:
                    raise MissingError("request")
                work(request)
        except MissingError as missing:
            logger.warning(
                "%s: nothing is made for request %s: no %s", work.__name__, request_id, missing
            )
            return None
        return request_id

    return step


def start(*, request_id: int) -> None:
    """Queue all steps for a request, after commit."""
    enqueue(FIRST_STEP, request_id, then=FURTHER_STEPS)


@_step
def make_user(request: SyntheticDataRequest) -> None:
    """Make the request's customer, who joined a day before the first day asked for."""
    if request.user_id is not None:
        raise MissingError("place for another user")
    try:
        joined = request.created_at - timedelta(days=request.since_days_ago + 1)
    except OverflowError as error:
        raise MissingError("day that long ago") from error
    request.user = User.objects.create_user(
        account_number=_unique_name(), org_id=_unique_name(), date_joined=joined
    )
    request.save(update_fields=["user"])


@_step
def make_accounts(request: SyntheticDataRequest) -> None:
    """Make the request's accounts: disabled, paused, and unknown to sources and clouds."""
    user_id = _user_id(request)
    accounts = CloudAccount.objects.filter(user_id=user_id)
    if accounts.exists():
        return
    while missing := request.account_count - accounts.count():
        # What collides with an id drawn before is drawn again.
        CloudAccount.objects.bulk_create(
            [_account(user_id, request.cloud_type) for _ in range(min(missing, ROWS_AT_ONCE))],
            ignore_conflicts=True,
        )
    AccountState.objects.bulk_create(
        [
            AccountState(
                account_id=account.id,
                cloud_type=account.cloud_type,
                cloud_account_number=account.cloud_account_number,
                user_id=user_id,
                to_state=AccountState.Change.CREATED,
                cause=AccountState.Cause.OPERATOR,
            )
            for account in accounts
        ],
        batch_size=ROWS_AT_ONCE,
    )


@_step
def make_images(request: SyntheticDataRequest) -> None:
    """Make the request's images; by chance they are RHEL, OpenShift, or somebody else's."""
    accounts = _accounts(request)
    if request.machine_images.exists():
        return
    images = (_image(request, random.choice(accounts)) for _ in range(request.image_count))
    for batch in _batches(images):
        created = create_images(
            images=batch, reason=ImageFact.Reason("operator"), ref=f"synthetic {request.id}"
        )
        request.machine_images.add(*created)
        _tag(accounts[0], created)


def _tag(account: CloudAccount, images: Iterable[MachineImage]) -> None:
    """Put tags on AMIs, in an account of the customer's, that are to look tagged."""
    now = clock.now()
    store_tags(
        ImageTagChange(account.id, image.id, OPENSHIFT, True, now, {})
        for image in images
        if image.cloud_type == CloudType.AWS and image.openshift_detected
    )


@_step
def make_instances(request: SyntheticDataRequest) -> None:
    """Make the request's instances, each in any of its accounts, of any of its images."""
    accounts = _accounts(request)
    images = list(request.machine_images.values_list("id", flat=True))
    if not images:
        raise MissingError("image")
    if Instance.objects.filter(cloud_account__in=accounts).exists():
        return
    regions = REGIONS[CloudType(request.cloud_type)]
    instances = (
        Instance(
            cloud_account=random.choice(accounts),
            machine_image_id=random.choice(images),
            cloud_type=request.cloud_type,
            cloud_instance_id=_unique_name(),
            region=random.choice(regions),
        )
        for _ in range(request.instance_count)
    )
    for batch in _batches(instances):
        Instance.objects.bulk_create(batch)


@_step
def make_events(request: SyntheticDataRequest) -> None:
    """Switch the request's instances on and off at random times up to now."""
    instances = _instances(request)
    if InstanceEvent.objects.filter(cloud_account__user_id=_user_id(request)).exists():
        return
    habits = Habits.of_hours(
        since_days_ago=request.since_days_ago,
        runs_min=request.run_count_per_instance_min,
        runs_mean=request.run_count_per_instance_mean,
        hours_min=request.hours_per_run_min,
        hours_mean=request.hours_per_run_mean,
        hours_between=request.hours_between_runs_mean,
    )
    types = INSTANCE_TYPES[CloudType(request.cloud_type)]
    now = int(clock.now().timestamp())
    events = (
        event
        for instance_id, account_id in instances
        for event in _events(
            instance_id, account_id, random.choice(types), draw_runs(habits, now, random)
        )
    )
    for batch in _batches(events):
        InstanceEvent.objects.bulk_create(batch)


@_step
def make_runs_and_usage(request: SyntheticDataRequest) -> None:
    """Calculate the runs of the request's instances and the usage of all its days."""
    instances = _instances(request)
    assert request.user is not None
    recalculate_runs(
        user_id=request.user.id, instance_ids=[instance_id for instance_id, _ in instances]
    )
    joined = request.user.joined_on
    last = request.created_at.astimezone(UTC).date()
    calculate_usage(user_id=request.user.id, missing=[Days(joined, last)])


def make_usage_on(*, user_id: int, day: date) -> None:
    """Calculate one day of a made-up customer, if it is missing or stale."""
    calculate_usage(user_id=user_id, missing=[Days(day, day)])


def _user_id(request: SyntheticDataRequest) -> int:
    if request.user_id is None:
        raise MissingError("user")
    return request.user_id


def _accounts(request: SyntheticDataRequest) -> list[CloudAccount]:
    accounts = list(CloudAccount.objects.filter(user_id=_user_id(request)).order_by("id"))
    if not accounts:
        raise MissingError("account")
    return accounts


def _instances(request: SyntheticDataRequest) -> list[tuple[int, int]]:
    instances = Instance.objects.filter(cloud_account__user_id=_user_id(request)).order_by("id")
    found = list(instances.values_list("id", "cloud_account_id"))
    if not found:
        raise MissingError("instance")
    return found


def _account(user_id: int, cloud_type: str) -> CloudAccount:
    account = CloudAccount(
        user_id=user_id,
        cloud_type=cloud_type,
        is_synthetic=True,
        is_enabled=False,
        platform_application_is_paused=True,
        platform_authentication_id=random.randint(-999_999, -2),
        platform_application_id=random.randint(-999_999, -2),
        platform_source_id=random.randint(-999_999, -2),
    )
    if cloud_type == CloudType.AWS:
        account.aws_account_id = _aws_account_id()
        account.account_arn = f"arn:aws:iam::{account.aws_account_id}:role/{_unique_name()}"
    else:
        account.subscription_id = uuid.uuid4()
    return account


def _image(request: SyntheticDataRequest, account: CloudAccount) -> MachineImage:
    is_ours = random.random() >= request.image_other_owner_chance
    name = _unique_name()
    image = MachineImage(
        cloud_type=request.cloud_type,
        cloud_image_id=name,
        architecture="x86_64",
        status=MachineImage.Status.INSPECTED,
        openshift_detected=random.random() < request.image_ocp_chance,
    )
    if random.random() < request.image_rhel_chance:
        image.inspection_json = json.dumps(_inspection())
    if request.cloud_type == CloudType.AWS:
        image.name = name
        image.owner_aws_account_id = account.aws_account_id if is_ours else _aws_account_id()
        image.region = random.choice(REGIONS[CloudType.AWS])
    else:
        subscription = account.subscription_id if is_ours else uuid.uuid4()
        image.user_id = account.user_id
        image.cloud_image_id = (
            f"/subscriptions/{subscription}/resourceGroups/{MARK}"
            f"/providers/Microsoft.Compute/images/{name}"
        )
    return image


def _inspection() -> dict[str, Any]:
    return {
        "rhel_release_files_found": True,
        "syspurpose": {
            "role": random.choice(ROLES),
            "service_level_agreement": random.choice(SLAS),
            "usage": random.choice(USAGES),
            "service_type": random.choice(SERVICE_TYPES),
        },
    }


def _events(
    instance_id: int, account_id: int, instance_type: str, runs: list[tuple[int, int | None]]
) -> Iterator[InstanceEvent]:
    for start_second, end_second in runs:
        for second, event_type in (
            (start_second, InstanceEvent.Type.POWER_ON),
            (end_second, InstanceEvent.Type.POWER_OFF),
        ):
            if second is not None:
                yield InstanceEvent(
                    instance_id=instance_id,
                    cloud_account_id=account_id,
                    event_type=event_type,
                    occurred_at=datetime.fromtimestamp(second, UTC),
                    instance_type=instance_type,
                    origin=InstanceEvent.Origin.SYNTHETIC,
                )


def _unique_name() -> str:
    return f"{MARK}-{uuid.uuid4()}"


def _aws_account_id() -> str:
    return f"{random.randrange(1_000_000):012}"


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        yield batch
