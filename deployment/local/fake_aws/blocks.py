"""Blocks of snapshots (EBS direct APIs), as AWS treats them: tokens, checksums, pages, copies.

``POST /_control/corruptions`` with ``{"snapshot": "...", "block": n, "times": k}`` damages what the
next k answers say of a block.
"""

import base64
import hashlib
import threading
from typing import Any

from moto.core.responses import ActionResult
from moto.ebs.models import EBSBackend, EBSSnapshot, ebs_backends
from moto.ebs.responses import EBSResponse
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_block_store import EBSBackend as Ec2SnapshotBackend

from deployment.local.fake_aws.extend import replaces
from deployment.local.fake_aws.refusal import Refusal

BLOCK_SIZE = 512 * 1024
_MOST_RESULTS = 10_000

_lock = threading.Lock()
_corruptions: list[dict[str, Any]] = []


def corrupt(corruption: dict[str, Any]) -> None:
    """Damage some of the next answers about a block."""
    with _lock:
        _corruptions.append(dict(corruption))


def forget_corruptions() -> None:
    """Damage nothing any more."""
    with _lock:
        _corruptions.clear()


def _is_corrupt(snapshot_id: str, block: int) -> bool:
    with _lock:
        for one in _corruptions:
            if (one["snapshot"], one["block"]) == (snapshot_id, block) and one["times"] > 0:
                one["times"] -= 1
                return True
    return False


def copy_blocks(source: Any, target: Any) -> None:
    """Let a copied snapshot, of EC2, have the blocks of its original."""
    blocks = _find(source.owner_id, source.ec2_backend.region_name, source.id)
    if blocks is not None:
        made = EBSSnapshot(account_id=target.owner_id, snapshot=target)
        made.block_size = BLOCK_SIZE
        made.blocks = dict(blocks.blocks)
        backend = ebs_backends[target.owner_id][target.ec2_backend.region_name]
        backend.snapshots[target.id] = made


def _find(account_id: str, region: str, snapshot_id: str) -> EBSSnapshot | None:
    found: EBSSnapshot | None = ebs_backends[account_id][region].snapshots.get(snapshot_id)
    return found


@replaces(EBSBackend, "start_snapshot")
def start_snapshot(original: Any, self: Any, *args: Any, **kwargs: Any) -> EBSSnapshot:
    """Return the size of blocks as AWS does; the snapshot is pending until it is complete."""
    made: EBSSnapshot = original(self, *args, **kwargs)
    made.block_size = BLOCK_SIZE
    self.ec2_backend.snapshots[made.snapshot_id].status = "pending"
    return made


@replaces(EBSBackend, "complete_snapshot")
def complete_snapshot(original: Any, self: Any, snapshot_id: str) -> Any:
    """Let EC2 know of it."""
    answer = original(self, snapshot_id)
    self.ec2_backend.snapshots[snapshot_id].status = "completed"
    return answer


@replaces(Ec2SnapshotBackend, "delete_snapshot")
def delete_snapshot(original: Any, self: Any, snapshot_id: str) -> Any:
    """Delete the blocks with their snapshot."""
    answer = original(self, snapshot_id)
    ebs_backends[self.account_id][self.region_name].snapshots.pop(snapshot_id, None)
    return answer


@replaces(EBSResponse, "put_snapshot_block")
def put_snapshot_block(original: Any, self: Any) -> ActionResult:
    """Refuse blocks of a wrong size or with a wrong checksum."""
    data = _bytes(self._get_param("BlockData"))
    if len(data) != BLOCK_SIZE or self._get_param("Checksum") != _checksum(data):
        raise Refusal("ValidationException", "The block's size or checksum is wrong")
    answer: ActionResult = original(self)
    return answer


@replaces(EBSResponse, "list_snapshot_blocks")
def list_snapshot_blocks(_original: Any, self: Any) -> ActionResult:
    """List blocks in order, from an index or a token on, page by page."""
    snapshot = _snapshot(self)
    start = int(self._get_param("NextToken") or self._get_param("StartingBlockIndex") or 0)
    most = min(int(self._get_param("MaxResults") or _MOST_RESULTS), _MOST_RESULTS)
    indexes = sorted(index for index in snapshot.blocks if index >= start)
    shown, rest = indexes[:most], indexes[most:]
    result: dict[str, Any] = {
        "Blocks": [
            {"BlockIndex": index, "BlockToken": snapshot.blocks[index].block_token}
            for index in shown
        ],
        "VolumeSize": snapshot.volume_size,
        "BlockSize": BLOCK_SIZE,
    }
    if rest:
        result["NextToken"] = str(rest[0])
    return ActionResult(result)


@replaces(EBSResponse, "get_snapshot_block")
def get_snapshot_block(_original: Any, self: Any) -> ActionResult:
    """Return a block to whoever has its token."""
    snapshot = _snapshot(self)
    index = int(self._get_param("BlockIndex"))
    block = snapshot.blocks.get(index)
    if block is None or self._get_param("BlockToken") != block.block_token:
        raise Refusal("ValidationException", "The block token is wrong")
    data = _bytes(block.block_data)
    if _is_corrupt(snapshot.snapshot_id, index):
        data = bytes([data[0] ^ 0xFF]) + data[1:]
    return ActionResult(
        {
            "DataLength": len(data),
            "BlockData": data,
            "Checksum": block.checksum,
            "ChecksumAlgorithm": "SHA256",
        }
    )


def _snapshot(response: Any) -> EBSSnapshot:
    """Return the snapshot that a request is about: one without blocks of its own has none."""
    account, region = response.current_account, response.region
    snapshot_id = response._get_param("SnapshotId")
    known = _find(account, region, snapshot_id)
    if known is not None:
        return known
    in_ec2 = ec2_backends[account][region].snapshots.get(snapshot_id)
    if in_ec2 is None:
        raise Refusal("ResourceNotFoundException", f"{snapshot_id} does not exist")
    return EBSSnapshot(account_id=account, snapshot=in_ec2)


def _bytes(data: Any) -> bytes:
    if hasattr(data, "read"):
        data = data.read()
    return data.encode() if isinstance(data, str) else bytes(data)


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
