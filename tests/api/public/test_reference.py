"""Without brackets and ``include`` answers are, byte for byte, what they were before these.

The files in ``reference`` are the answers of the version before brackets (spec 11 §3 acceptance 4)
to the same requests about the same rows; members and their order are those of spec 01 §6 and §7.
"""

import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from api.models import CloudAccount, Instance, MachineImage
from tests import factories
from tests.api.public.callers import Caller, caller_for

pytestmark = pytest.mark.django_db

REFERENCE = Path(__file__).parent / "reference"
REQUESTS = {
    "accounts": "/accounts/",
    "instances": "/instances/",
    "instances-paged": "/instances/?limit=1&offset=1&cloud_account_id=9000002&colour=blue",
    "instances-ordering": "/instances/?ordering=-region&search=abc&order_by=region&filter=x",
    "instance": "/instances/9000013/",
    "images": "/images/",
    "images-filtered": "/images/?rhel_detected=true&architecture=x86_64&limit=5",
    "image": "/images/9000021/",
}
MADE = factories.utc("2022-11-02T08:20:00")
RESULT = {
    "rhel_enabled_repos_found": True,
    "rhel_version": "8.7",
    "syspurpose": {
        "role": "Red Hat Enterprise Linux Server",
        "service_level_agreement": "Premium",
        "usage": "Production",
    },
}


def touch(model, id: int, **columns) -> None:
    """Let a row have been made, and changed, at fixed moments."""
    made = MADE + timedelta(microseconds=id % 100)
    moments = {"created_at": made, "updated_at": made + timedelta(hours=2)}
    model.objects.filter(id=id).update(**moments, **columns)


@pytest.fixture
def asker(spring_2019) -> Caller:
    """A customer with an account, instances and images of each cloud, known by fixed ids."""
    user = factories.make_user(id=9000000, account_number="100001", org_id="200002")
    platform = {
        "platform_authentication_id": 11,
        "platform_application_id": 12,
        "platform_source_id": 13,
    }
    aws = factories.make_aws_account(
        user=user, id=9000001, aws_account_id="012345678901", **platform
    )
    azure = factories.make_azure_account(
        user=user,
        id=9000002,
        subscription_id=UUID("6a1d7c0e-93b4-4c7e-9a53-0c5a3b1f77d2"),
        is_enabled=False,
        **{name: number + 10 for name, number in platform.items()},
    )
    ami = factories.make_aws_image(
        id=9000021,
        cloud_image_id="ami-0a1b2c3d4e5f60718",
        name="corp-rhel8-golden",
        inspection_json=json.dumps(RESULT),
        product_codes=[{"ProductCodeId": "abc", "ProductCodeType": "marketplace"}],
        region="eu-west-1",
        owner_aws_account_id="014321987655",
    )
    unknown = factories.make_aws_image(
        id=9000022,
        cloud_image_id="ami-00000000000000001",
        name=None,
        architecture=None,
        status=MachineImage.Status.UNAVAILABLE,
        region=None,
        owner_aws_account_id=None,
        platform=None,
        platform_details=None,
        usage_operation=None,
    )
    sku = factories.make_azure_image(
        user=user,
        id=9000023,
        cloud_image_id="/subscriptions/6a1d/images/rhel9",
        name="Größe 猫 / \\",
    )
    virtual_machine = "/subscriptions/6a1d/resourceGroups/prod/providers/x/virtualMachines/db"
    for id, account, image, cloud_id in (
        (9000011, aws, ami, "i-0c1f2a9be77d01234"),
        (9000012, aws, unknown, "i-0c1f2a9be77d01235"),
        (9000013, aws, None, "i-0c1f2a9be77d01236"),
        (9000014, azure, sku, f"{virtual_machine}1"),
        (9000015, azure, sku, f"{virtual_machine}2"),
    ):
        factories.make_instance(account=account, image=image, id=id, cloud_instance_id=cloud_id)
    for model, ids in (
        (CloudAccount, (9000001, 9000002)),
        (MachineImage, (9000021, 9000022, 9000023)),
        (Instance, range(9000011, 9000016)),
    ):
        for id in ids:
            touch(model, id)
    return caller_for(user)


@pytest.mark.parametrize("name", REQUESTS)
def test_4_without_brackets_answers_are_byte_equal(asker, name):
    """Acceptance 4 of lists."""
    expected = (REFERENCE / f"{name}.json").read_bytes()
    assert asker.get(REQUESTS[name]).content == expected
