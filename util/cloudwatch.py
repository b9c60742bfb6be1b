"""Sending log lines to CloudWatch (spec 08 §8)."""

import warnings
from typing import Any

import boto3
import watchtower
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class CloudWatchHandler(watchtower.CloudWatchLogHandler):
    """Sends log lines to CloudWatch; an AWS that is away costs lines, never the program."""

    def _ensure_log_group(self) -> None:
        try:
            super()._ensure_log_group()
        except (ClientError, BotoCoreError) as error:
            warnings.warn(f"CloudWatch's log groups cannot be listed: {error}", stacklevel=2)

    def _idempotent_call(self, method: str, *args: Any, **kwargs: Any) -> None:
        try:
            if method == "create_log_stream":
                # The group may be missing still, if AWS was away when the program started.
                super()._idempotent_call("create_log_group", logGroupName=self.log_group_name)
            super()._idempotent_call(method, *args, **kwargs)
        except (ClientError, BotoCoreError) as error:
            warnings.warn(f"CloudWatch: {method} failed: {error}", stacklevel=2)


def cloudwatch_handler(
    *,
    access_key_id: str,
    secret_access_key: str,
    region: str,
    **options: Any,
) -> CloudWatchHandler:
    """Make a CloudWatch handler with a client, and so with credentials, of its own."""
    client = boto3.client(
        "logs",
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        region_name=region,
        config=Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 1}),
    )
    return CloudWatchHandler(boto3_client=client, **options)
