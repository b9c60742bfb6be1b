"""The customer of the examples, and what stands in for the clouds."""

import json
from datetime import UTC, datetime, timedelta

from api.clouds.provider import AccountRef
from api.metering.facets import ANY
from api.models import CloudAccount, CloudType
from tests import factories

NOW = datetime(2020, 5, 18, 13, 51, 59, 722367, tzinfo=UTC)
TODAY = NOW.date()
JOINED = NOW - timedelta(days=60)
DAYS_OF_USAGE = 14

ACCOUNT_NUMBER = "100001"
ORG_ID = "200002"
OWN_AWS_ACCOUNT = "998877665544"
AWS_ACCOUNT = "123456789012"
ARN = f"arn:aws:iam::{AWS_ACCOUNT}:role/role-for-cloudigrade"
SUBSCRIPTION = "6a1d7c0e-93b4-4c7e-9a53-0c5a3b1f77d2"

_ROLE = "Red Hat Enterprise Linux Server"
_INSPECTION = {
    "rhel_enabled_repos_found": True,
    "rhel_product_certs_found": True,
    "rhel_release_files_found": True,
    "rhel_signed_packages_found": False,
    "rhel_version": "7.7",
    "syspurpose": {
        "role": _ROLE,
        "service_level_agreement": "Premium",
        "usage": "Development/Test",
    },
}
_COUNTS = [
    [ANY, ANY, ANY, ANY, ANY, 2],
    ["x86_64", ANY, ANY, ANY, ANY, 2],
    [ANY, _ROLE, "Premium", "Development/Test", ANY, 1],
]


class AnyCloud:
    """A cloud in which every account is as it should be."""

    def __init__(self, cloud_type: str) -> None:
        self.cloud_type = cloud_type

    def verify(self, account: AccountRef) -> None:
        """Find nothing wrong."""

    configure = release = forget = discover = verify

    def is_own(self, account: AccountRef) -> bool:
        """Find that it is a customer's."""
        return False

    def last_removal(self, account: AccountRef) -> None:
        """Nothing was ever removed."""


def store_findings() -> None:
    """Store what has been found in the customer's two accounts over the days."""
    aws = CloudAccount.objects.get(cloud_type=CloudType.AWS)
    azure = CloudAccount.objects.get(cloud_type=CloudType.AZURE)
    factories.make_definition(instance_type="t3.large", vcpu=2, memory_mib=8192)
    images = [
        factories.make_aws_image(
            **_stored(days_ago=30),
            cloud_image_id="ami-0a1b2c3d4e5f60718",
            name="corp-rhel7-golden",
            inspection_json=json.dumps(_INSPECTION),
            owner_aws_account_id=AWS_ACCOUNT,
        ),
        factories.make_aws_image(
            **_stored(days_ago=20),
            cloud_image_id="ami-0f1e2d3c4b5a69788",
            name="RHEL-8.2.0_HVM-20200423-x86_64-0-Access2-GP2",
            owner_aws_account_id="309956199498",
        ),
        factories.make_azure_image(
            **_stored(days_ago=10),
            user=azure.user,
            cloud_image_id="18_04-lts-gen2",
            publisher="Canonical",
            offer="UbuntuServer",
            name="18_04-lts-gen2",
        ),
    ]
    for number, (account, image, days_ago) in enumerate(
        ((aws, images[0], 30), (aws, images[1], 20), (azure, images[2], 10))
    ):
        instance = factories.make_instance(
            account=account,
            image=image,
            cloud_instance_id=f"i-0c1f2a9be77d0123{number}"
            if account is aws
            else f"/subscriptions/{SUBSCRIPTION}/resourceGroups/prod/providers"
            "/Microsoft.Compute/virtualMachines/db1",
            **_stored(days_ago=days_ago),
        )
        factories.make_run(instance=instance, start=NOW - timedelta(days=days_ago))
    factories.make_usage_between(
        user=aws.user,
        first_day=TODAY - timedelta(days=DAYS_OF_USAGE),
        last_day=TODAY - timedelta(days=1),
        counts=_COUNTS,
    )


def _stored(*, days_ago: int) -> dict[str, datetime]:
    moment = NOW - timedelta(days=days_ago)
    return {"created_at": moment, "updated_at": moment}
