"""What a customer's role must grant us, and the check that it does (spec 04 §3.2-§3.4)."""

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from api.clouds.aws.errors import code_of

logger = logging.getLogger(__name__)

ACTIONS = (
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:ModifySnapshotAttribute",
    "ec2:DescribeSnapshotAttribute",
    "ec2:DescribeSnapshots",
    "ec2:CopyImage",
    "ec2:CreateTags",
    "ec2:DescribeRegions",
    "cloudtrail:CreateTrail",
    "cloudtrail:UpdateTrail",
    "cloudtrail:PutEventSelectors",
    "cloudtrail:DescribeTrails",
    "cloudtrail:StartLogging",
    "cloudtrail:DeleteTrail",
)

PROBED_SNAPSHOT = "snap-0f423c31dd96866b2"
PROBED_IMAGE = "ami-0f94fa2a144c74cf1"
PROBED_REGION = "us-east-1"
"""Ids that exist: AWS checks some of them before it answers a dry run."""

_ALLOWED = "DryRunOperation"
_REFUSED = "UnauthorizedOperation"


def policy_document() -> dict[str, Any]:
    """Return the policy that a customer attaches to the role, and that narrows our sessions."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "CloudigradePolicy",
                "Effect": "Allow",
                "Action": list(ACTIONS),
                "Resource": "*",
            }
        ],
    }


def policy_text() -> str:
    """Return the policy as JSON, as AssumeRole takes it."""
    return json.dumps(policy_document())


def refused_actions(ec2: Any) -> list[str]:
    """Try all actions with dry runs and give those that the role does not grant.

    All are tried, so that the log names every one that is missing. Raises ``ClientError`` for any
    other answer than yes and no.
    """
    refused = [action for action in ACTIONS if not _is_granted(ec2, action)]
    for action in refused:
        logger.warning("The customer's role does not grant %s", action)
    return refused


def _is_granted(ec2: Any, action: str) -> bool:
    if action.startswith("cloudtrail:"):
        return True  # CloudTrail knows no dry runs.
    probe = _PROBES.get(action)
    if probe is None:
        return False
    try:
        probe(ec2)
    except ClientError as error:
        if code_of(error) not in (_ALLOWED, _REFUSED):
            raise
        return code_of(error) == _ALLOWED
    return True


_PROBES: Mapping[str, Callable[[Any], object]] = MappingProxyType(
    {
        "ec2:DescribeImages": lambda ec2: ec2.describe_images(DryRun=True),
        "ec2:DescribeInstances": lambda ec2: ec2.describe_instances(DryRun=True),
        "ec2:DescribeSnapshots": lambda ec2: ec2.describe_snapshots(DryRun=True),
        "ec2:DescribeRegions": lambda ec2: ec2.describe_regions(DryRun=True),
        "ec2:DescribeSnapshotAttribute": lambda ec2: ec2.describe_snapshot_attribute(
            DryRun=True, SnapshotId=PROBED_SNAPSHOT, Attribute="productCodes"
        ),
        "ec2:ModifySnapshotAttribute": lambda ec2: ec2.modify_snapshot_attribute(
            DryRun=True,
            SnapshotId=PROBED_SNAPSHOT,
            Attribute="createVolumePermission",
            OperationType="add",
        ),
        "ec2:CopyImage": lambda ec2: ec2.copy_image(
            DryRun=True,
            Name=str(uuid.uuid4()),
            SourceImageId=PROBED_IMAGE,
            SourceRegion=PROBED_REGION,
        ),
        "ec2:CreateTags": lambda ec2: ec2.create_tags(
            DryRun=True,
            Resources=[PROBED_IMAGE],
            Tags=[{"Key": "cloudigrade", "Value": "cloudigrade"}],
        ),
    }
)
