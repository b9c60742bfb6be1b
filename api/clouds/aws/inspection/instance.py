"""The instance in our account that looks into a copied disk (spec 05 §4.4)."""

import logging
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import NotReadyError, code_of, is_access_denied
from api.clouds.aws.inspection.disk_copies import own_ec2
from api.clouds.aws.inspection.tags import AMI, COPY, specification
from api.clouds.aws.inspection.user_data import DEVICE, user_data

logger = logging.getLogger(__name__)

GONE = frozenset({"shutting-down", "terminated"})
_TOO_MANY_INSTANCES = frozenset({"InstanceLimitExceeded", "VcpuLimitExceeded"})


class MarketplaceOnlyError(Exception):
    """AWS lets nobody use the disk who has not bought the product."""


def find_or_launch(*, ami_id: str, snapshot_copy_id: str) -> str:
    """Launch the inspector of a snapshot copy, once however often it is asked for; gives its id.

    Raises MarketplaceOnlyError, NotReadyError while AWS lets us have no more instances, and what
    AWS raises.
    """
    ec2 = own_ec2()
    known = _find(ec2, snapshot_copy_id)
    if known:
        return known
    tags = {AMI: ami_id, COPY: snapshot_copy_id}
    try:
        answer = ec2.run_instances(
            # A repeated request with the token of the first makes no second instance.
            ClientToken=f"cloudigrade-{snapshot_copy_id}",
            LaunchTemplate={"LaunchTemplateName": settings.AWS_INSPECTION_LAUNCH_TEMPLATE_NAME},
            MinCount=1,
            MaxCount=1,
            InstanceInitiatedShutdownBehavior="terminate",
            UserData=user_data(ami_id),
            BlockDeviceMappings=[
                {
                    "DeviceName": DEVICE,
                    "Ebs": {
                        "SnapshotId": snapshot_copy_id,
                        "VolumeType": "gp2",
                        "Encrypted": False,
                        "DeleteOnTermination": True,
                    },
                }
            ],
            # The inspector's container is one hop further away than the instance itself.
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            TagSpecifications=[specification("instance", tags), specification("volume", tags)],
        )
    except ClientError as error:
        message = str(error.response.get("Error", {}).get("Message", ""))
        if code_of(error) == "OptInRequired" and "Marketplace" in message:
            raise MarketplaceOnlyError(message) from error
        if code_of(error) in _TOO_MANY_INSTANCES:
            raise NotReadyError("too many instances are running") from error
        raise
    return str(answer["Instances"][0]["InstanceId"])


def _find(ec2: Any, snapshot_copy_id: str) -> str | None:
    filters = [{"Name": f"tag:{COPY}", "Values": [snapshot_copy_id]}]
    try:
        reservations = ec2.describe_instances(Filters=filters)["Reservations"]
    except ClientError as error:
        if not is_access_denied(error):
            raise
        # Then the token of the request alone has to do.
        logger.warning("Our own account does not let us describe instances: %s", error)
        return None
    for reservation in reservations:
        for instance in reservation["Instances"]:
            return str(instance["InstanceId"])
    return None
