"""Loading the sizes of instance types for the first time (spec 04 §9.4)."""

from collections.abc import Iterator

from api.models import CloudType, InstanceDefinition
from util.tasks import enqueue

TASKS = {
    "AWS": "api.clouds.aws.tasks.repopulate_ec2_instance_mapping",
    "Azure": "api.clouds.azure.tasks.repopulate_azure_instance_mapping",
}


def are_loaded() -> bool:
    """Return whether there are sizes of every cloud."""
    known = InstanceDefinition.objects.values_list("cloud_type", flat=True).distinct()
    return set(CloudType.values) <= set(known)


def start_loading() -> Iterator[str]:
    """Queue the loading of all clouds' sizes, giving the name of each cloud."""
    for cloud, task in TASKS.items():
        enqueue(task)
        yield cloud
