"""The disk of an image whose name and tags tell nothing."""

import json
from pathlib import Path

VERSION = "8.4"

_FILES = {
    "etc/redhat-release": "Red Hat Enterprise Linux release 8.4 (Ootpa)\n",
    "etc/os-release": f'NAME="Red Hat Enterprise Linux"\nVERSION_ID="{VERSION}"\n',
    "etc/rhsm/syspurpose/syspurpose.json": json.dumps(
        {
            "role": "Red Hat Enterprise Linux Server",
            "service_level_agreement": "Premium",
            "usage": "Production",
        }
    ),
}


def write_disk(root: Path) -> None:
    """Write what the image has on its root disk."""
    for name, content in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
