"""Two customers with many different instances and images."""

import json
from datetime import timedelta

import pytest

from api.models import BillingFinding, Instance, InstanceDefinition, MachineImage
from tests import factories
from tests.api.public.lists.expected import CREATED

OPERATIONS = [None, "RunInstances", "RunInstances:0010", "RunInstances:00g0"]
FINDINGS = [[], [], ["converted"], ["unknown_class", "counted_but_billed"]]
ODD_NAMES = [
    "RHEL-8.7.0_HVM",
    "rhel-8_7",
    "100% odd, really",
    "back\\slash",
    "Access2",
    None,
    "étude",
]


@pytest.fixture
def environment(customer_a, customer_b):
    """Two customers with many different instances and images; some images are of both."""
    shared = [
        factories.make_aws_image(
            name=ODD_NAMES[number % 7],
            architecture=[None, "x86_64", "arm64"][number % 3],
            usage_operation=OPERATIONS[number % 4],
            region=[None, "us-east-1", "eu-west-1"][number % 3],
            marketplace=number % 5 == 0,
            owner_aws_account_id=[None, "309956199498", "000000000001"][number % 3],
            status=MachineImage.Status.values[number % 6],
            product_codes=[None, [{"ProductCodeId": "img", "ProductCodeType": "marketplace"}]][
                number % 2
            ],
            inspection_json=json.dumps(
                {
                    "rhel_version": ["8.7", "9.1"][number % 2],
                    "rhel_product_certs_found": True,
                    "rhel_enabled_repos_found": number % 3 == 0,
                    "syspurpose": {"role": ["Server", ""][number % 2], "usage": "Production"},
                }
            )
            if number % 2
            else None,
        )
        for number in range(14)
    ]
    for user in (customer_b, customer_a):
        accounts = [factories.make_aws_account(user=user) for _ in range(3)]
        azure = factories.make_azure_account(user=user)
        for image in shared[:4]:
            factories.make_tags(account=accounts[0], image=image, openshift=image.id % 2 == 0)
        azure_images = [
            factories.make_azure_image(
                user=user,
                publisher=["RedHat", "canonical"][number % 2],
                offer=["rhel-byos", "rhel"][number // 2],
                rhel_detected_by_tag=number == 1,
                rhel_detected_by_license=number == 2,
            )
            for number in range(4)
        ]
        for number in range(60):
            is_azure = number % 6 == 5
            images = azure_images if is_azure else shared
            make_instance(
                number,
                account=azure if is_azure else accounts[number % 3],
                image=None if number % 11 == 0 else images[number % len(images)],
            )
    InstanceDefinition.objects.create(
        cloud_type="aws", instance_type="t3.large", vcpu=2, memory_mib=8192, json_definition={}
    )
    return customer_a


def make_instance(number: int, **columns) -> Instance:
    """Make an instance that differs from its neighbours; many are of one moment."""
    instance = factories.make_instance(
        region=["us-east-1", "us-west-2", "a_b%c", "a-b-c"][number % 4], **columns
    )
    power = [None, "running", "stopped"][number % 3]
    changed = {
        "created_at": CREATED + timedelta(hours=number // 7),
        "power_state": power,
        "power_changed_at": CREATED if power else None,
        "instance_type": [None, "t3.large", "m5.large", "odd,type"][number % 4],
        "usage_operation": OPERATIONS[number % 4] if instance.cloud_type == "aws" else None,
        "product_codes": [{"ProductCodeId": "own", "ProductCodeType": "x"}, {"ProductCodeId": "b"}]
        if number % 5 == 0
        else None,
    }
    Instance.objects.filter(id=instance.id).update(**changed)
    if power == "running":
        factories.make_run(instance=instance, start=CREATED + timedelta(days=number % 5))
    for kind in FINDINGS[number % 4]:
        BillingFinding.objects.create(
            user=instance.cloud_account.user, instance=instance, kind=kind, seconds=1
        )
    return instance
