"""Delivering a result file to the bucket that cloudigrade reads from (spec 05 §6, §9)."""

import base64
import hashlib
import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

logger = logging.getLogger(__name__)

ATTEMPTS = 3
_PAUSE = 2.0
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"})


class NotDeliveredError(Exception):
    """The result is lost; the message says why."""


def object_key(now: datetime) -> str:
    """Return the key of a result that is delivered now (UTC)."""
    return f"InspectionResults/{now:%Y-%m/%d/%H.%M.%S}-{uuid.uuid4()}.json"


def deliver(
    text: str,
    bucket: str,
    *,
    connect: Callable[[], Any] = lambda: boto3.client("s3", config=_CONFIG),
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Store a result as one object; return its key.

    Raises NotDeliveredError after some attempts.
    """
    body = text.encode()
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    key = object_key(datetime.now(UTC))
    reason: Exception | None = None
    for attempt in range(1, ATTEMPTS + 1):
        try:
            connect().put_object(Bucket=bucket, Key=key, Body=body, ContentMD5=digest)
        except (ClientError, BotoCoreError, Boto3Error) as error:
            reason = error
            logger.warning("Attempt %s to deliver to %s failed: %s", attempt, bucket, error)
            if attempt < ATTEMPTS:
                sleep(_PAUSE * attempt)
        else:
            return key
    raise NotDeliveredError(f"the result could not be delivered to {bucket}: {reason}")
