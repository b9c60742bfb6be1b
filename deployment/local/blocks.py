"""Putting a disk into a snapshot of the fake AWS, block by block, as the EBS direct APIs do."""

import base64
import hashlib
from typing import Any

BLOCK_SIZE = 512 * 1024
_GIB = 1024**3


def store_disk(ebs: Any, content: bytes) -> str:
    """Make a snapshot that has a disk's content; return its id. ``ebs`` is a client of EBS."""
    size = -(-len(content) // _GIB) or 1
    snapshot_id: str = ebs.start_snapshot(VolumeSize=size)["SnapshotId"]
    number = 0
    for index in range(-(-len(content) // BLOCK_SIZE)):
        block = content[index * BLOCK_SIZE : (index + 1) * BLOCK_SIZE].ljust(BLOCK_SIZE, b"\0")
        if not any(block):
            # What is not written is zeros.
            continue
        number += 1
        ebs.put_snapshot_block(
            SnapshotId=snapshot_id,
            BlockIndex=index,
            BlockData=block,
            DataLength=BLOCK_SIZE,
            Checksum=base64.b64encode(hashlib.sha256(block).digest()).decode(),
            ChecksumAlgorithm="SHA256",
        )
    ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=number)
    return snapshot_id
