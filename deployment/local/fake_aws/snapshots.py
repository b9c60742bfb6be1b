"""Snapshots that one account has shared with another."""

from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_block_store import EBSBackend

from deployment.local.fake_aws.backends import other_accounts
from deployment.local.fake_aws.blocks import copy_blocks
from deployment.local.fake_aws.extend import replaces


def is_shared_with(snapshot: Any, account_id: str) -> bool:
    """Return whether the snapshot's owner lets this account make volumes of it."""
    return (
        account_id in snapshot.create_volume_permission_userids
        or "all" in snapshot.create_volume_permission_groups
    )


def _find_shared(backend: Any, snapshot_id: str) -> Any:
    for neighbour in other_accounts(backend):
        snapshot = neighbour.snapshots.get(snapshot_id)
        if snapshot is not None and is_shared_with(snapshot, backend.account_id):
            return snapshot
    return None


@replaces(EBSBackend, "describe_snapshots")
def describe_snapshots(
    original: Any, self: Any, snapshot_ids: list[str] | None = None, filters: Any = None
) -> list[Any]:
    """Show the asked-for snapshots of other accounts that are shared with this one."""
    wanted = [name for name in snapshot_ids or () if name not in self.snapshots]
    shared = [snapshot for name in wanted if (snapshot := _find_shared(self, name)) is not None]
    if not shared:
        return list(original(self, snapshot_ids, filters))
    found = {snapshot.id for snapshot in shared}
    remaining = [name for name in snapshot_ids or () if name not in found]
    return [*shared, *(original(self, remaining, filters) if remaining else ())]


@replaces(EBSBackend, "copy_snapshot")
def copy_snapshot(
    original: Any,
    self: Any,
    source_snapshot_id: str,
    source_region: str,
    description: str,
    kms_key_id: str | None,
) -> Any:
    """Copy a snapshot that is shared with this account into it."""
    source_backend = ec2_backends[self.account_id][source_region]
    shared = _find_shared(source_backend, source_snapshot_id)
    if shared is None:
        own = original(self, source_snapshot_id, source_region, description, kms_key_id)
        copy_blocks(source_backend.snapshots[source_snapshot_id], own)
        return own
    volume = self.create_volume(size=shared.volume.size, zone_name=f"{self.region_name}a")
    copy = self.create_snapshot(volume.id, description)
    self.delete_volume(volume.id)
    copy_blocks(shared, copy)
    return copy


@replaces(EBSBackend, "create_volume")
def create_volume(
    original: Any,
    self: Any,
    size: int | None,
    zone_name: str,
    snapshot_id: str | None = None,
    **kwargs: Any,
) -> Any:
    """Make a volume also of a snapshot that is shared with this account."""
    shared = None
    if snapshot_id is not None and snapshot_id not in self.snapshots:
        shared = _find_shared(self, snapshot_id)
    if shared is None:
        return original(self, size, zone_name, snapshot_id, **kwargs)
    volume = original(self, size or shared.volume.size, zone_name, **kwargs)
    volume.snapshot_id = snapshot_id
    return volume
