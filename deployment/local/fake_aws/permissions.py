"""Dry runs answer about permissions first, as AWS does, and not about ids that do not exist."""

from typing import Any

from moto.ec2.responses import EC2Response

from deployment.local.fake_aws.extend import replaces

# What the product's permission check probes (spec 04 §3.4).
_PROBED = (
    "copy_image",
    "create_tags",
    "describe_images",
    "describe_instances",
    "describe_regions",
    "describe_snapshot_attribute",
    "describe_snapshots",
    "modify_snapshot_attribute",
)


def _answer_dry_run_first(original: Any, self: Any) -> Any:
    self.error_on_dryrun()
    return original(self)


for _action in _PROBED:
    replaces(EC2Response, _action)(_answer_dry_run_first)
