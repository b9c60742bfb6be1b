"""The part of the story that plays in Azure, where no log tells what starts and stops."""

from datetime import datetime

from deployment.local import azure_resources as resources
from deployment.local.azure import AzureControl
from deployment.local.demo.expected_usage import Span

_ARCHITECTURE = "x64"
_RHEL_TAG = {"cloudigrade-rhel-present": ""}
_RUNNING = ("web1", "web2")
_STOPPED = ("db1",)


def delegate_subscription(azure: AzureControl, subscription_id: str) -> None:
    """Let cloudigrade see the subscription with its machines, all of them tagged as RHEL."""
    azure.add_images(resources.image_versions(_ARCHITECTURE))
    power = dict.fromkeys(_RUNNING, "running") | dict.fromkeys(_STOPPED, "deallocated")
    azure.delegate(
        subscription_id,
        machines=[
            resources.machine(
                resources.machine_id(subscription_id, name), power=state, tags=_RHEL_TAG
            )
            for name, state in power.items()
        ],
    )


def running_machines(since: datetime) -> list[Span]:
    """Return the spans of the machines that are running."""
    return [Span(since, None, _ARCHITECTURE) for _ in _RUNNING]
