"""The trail in a customer's account that reports its events to us (spec 04 §5)."""

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db.models import QuerySet

from api import outbox
from api.clouds.aws.arn import Arn, parse_arn
from api.clouds.aws.errors import code_of, is_access_denied, is_transient
from api.clouds.aws.provisioning.buckets import ensure_bucket
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.session import clients
from api.clouds.provider import TransientCloudError
from api.models import CloudAccount
from util.tasks import enqueue

logger = logging.getLogger(__name__)

BUCKET_MISSING = "S3BucketDoesNotExistException"
LIMIT_EXCEEDED = "MaximumNumberOfTrailsExceededException"
NOT_FOUND = "TrailNotFoundException"

CONFIGURE_ATTEMPTS = 3
"""A trail may be deleted, on behalf of an account just disabled, while we configure it."""

CHECK = "api.tasks.enable_account"


def trail_name(aws_account_id: str) -> str:
    """Return the name of our trail in an account."""
    return f"{settings.AWS_CLOUDTRAIL_NAME_PREFIX}{aws_account_id}"


def removal_key(aws_account_id: str) -> str:
    """Name the entry that deletes the trail of an account."""
    return f"trail of {aws_account_id}"


def configure_trail(arn: Arn) -> None:
    """Create or update our trail and switch it on (spec 04 §5.1). Raises ``ClientError``.

    The bucket that it writes to is made if it does not exist.
    """
    for attempt in range(1, CONFIGURE_ATTEMPTS + 1):
        try:
            return _configure(arn)
        except ClientError as error:
            if code_of(error) != NOT_FOUND or attempt == CONFIGURE_ATTEMPTS:
                raise
            logger.info("The trail of %s was deleted while we configured it", arn.account_id)
    return None


def _configure(arn: Arn) -> None:
    cloudtrail = clients.of_customer(arn, "cloudtrail")
    name = trail_name(arn.account_id)
    trails = cloudtrail.describe_trails(trailNameList=[name])["trailList"]
    exists = any(trail["Name"] == name for trail in trails)
    write = cloudtrail.update_trail if exists else cloudtrail.create_trail
    try:
        _write(write, name)
    except ClientError as error:
        if code_of(error) != BUCKET_MISSING:
            raise
        ensure_bucket(trail_bucket())
        _write(write, name)
    cloudtrail.put_event_selectors(TrailName=name, EventSelectors=[{"ReadWriteType": "WriteOnly"}])
    cloudtrail.start_logging(Name=name)
    for old_name in _names_without_zeros(arn.account_id):
        # It would deliver every event twice, and the customer would pay for both.
        _delete(cloudtrail, old_name)


def _write(write: Callable[..., Any], name: str) -> None:
    # Where it is off, what a trail does stays as it is.
    validation = {"EnableLogFileValidation": True} if settings.AWS_TRAIL_LOG_VALIDATION else {}
    write(
        Name=name,
        S3BucketName=trail_bucket().bucket,
        IncludeGlobalServiceEvents=True,
        IsMultiRegionTrail=True,
        **validation,
    )


def remove_trail(*, arn: str, aws_account_id: str, link: outbox.TaskLink | None) -> None:
    """Delete our trail once for all that asked for it. Raises ``TransientCloudError``.

    An account that was enabled meanwhile may have lost the trail that it needs, so it is checked
    once more. Whoever enables an account after we looked sees that a removal was done
    (``last_removal``): one of us notices the other.
    """
    removed = delete_trail(arn=arn, aws_account_id=aws_account_id)
    outbox.finish(link)
    if removed:
        for account_id in _enabled(aws_account_id).values_list("id", flat=True):
            enqueue(CHECK, account_id)


def delete_trail(*, arn: str, aws_account_id: str) -> bool:
    """Delete our trail from an account that is no longer metered (spec 04 §5.2).

    Nothing happens if an account with this id is enabled by now. Returns whether the trail is gone;
    what AWS refuses is logged and given up. Raises ``TransientCloudError`` for what may pass.
    """
    if _enabled(aws_account_id).exists():
        logger.info("AWS account %s is enabled again and keeps its trail", aws_account_id)
        return False
    try:
        cloudtrail = clients.of_customer(parse_arn(arn), "cloudtrail")
        for name in (trail_name(aws_account_id), *_names_without_zeros(aws_account_id)):
            _delete(cloudtrail, name)
    except (ClientError, BotoCoreError) as error:
        if is_transient(error):
            raise TransientCloudError(str(error)) from error
        level = logging.WARNING if is_access_denied(error) else logging.ERROR
        logger.log(level, "The trail of AWS account %s stays: %s", aws_account_id, error)
        return False
    return True


def _enabled(aws_account_id: str) -> QuerySet[CloudAccount]:
    return CloudAccount.objects.filter(aws_account_id=aws_account_id, is_enabled=True)


def _names_without_zeros(aws_account_id: str) -> list[str]:
    """Return the name that an older version gave the trail, if it was another one (decision 2)."""
    shorter = aws_account_id.lstrip("0")
    return [trail_name(shorter)] if shorter != aws_account_id else []


def _delete(cloudtrail: Any, name: str) -> None:
    try:
        cloudtrail.delete_trail(Name=name)
    except ClientError as error:
        if code_of(error) != NOT_FOUND:
            raise
