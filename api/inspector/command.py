"""The command line of the inspector (spec 05 §9, 13 §1)."""

import argparse
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.inspector.delivery import NotDeliveredError, deliver
from api.inspector.directory import DirectoryFileSystem
from api.inspector.errors import UnreadableError, brief
from api.inspector.isolation import NotStartedError, inspect_isolated
from api.inspector.limits import MIB, Limits
from api.inspector.partition import inspect_file_system
from api.inspector.results import Entry, make_entry, make_result
from api.inspector.sources import FileSource

logger = logging.getLogger(__name__)

DELIVERED, NOT_DELIVERED = 0, 1
"""Exit codes; a wrong command line gives 2."""

BUCKET = "RESULTS_BUCKET_NAME"
SECONDS = "INSPECTION_MAX_SECONDS"
READ_BYTES = "INSPECTION_MAX_READ_BYTES"
MEMORY_BYTES = "INSPECTION_MAX_MEMORY_BYTES"


def main(arguments: Sequence[str] | None = None) -> int:
    """Look into the drives that the command line names; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    parser = _parser()
    parsed = parser.parse_args(arguments)
    try:
        limits = read_limits(os.environ)
    except ValueError as error:
        parser.error(str(error))
    images = inspect_targets(parsed.target, limits)
    text = json.dumps(make_result(parsed.cloud, images))
    for image, entry in images.items():
        logger.info("%s: %s", image, _summary(entry))
    try:
        if parsed.output:
            Path(parsed.output).write_text(text + "\n")
            logger.info("The result is in %s", parsed.output)
        else:
            key = deliver(text, _bucket())
            logger.info("The result is delivered as %s", key)
    except (NotDeliveredError, OSError) as error:
        logger.error("%s", error)
        return NOT_DELIVERED
    return DELIVERED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api.inspector",
        description="Look into disks of cloud images, and say whether RHEL is on them. "
        "Reads only; needs no mount and no root.",
    )
    parser.add_argument(
        "-c", "--cloud", choices=("aws", "gcp", "azure"), default="aws", help="default: aws"
    )
    parser.add_argument(
        "-t",
        "--target",
        nargs=2,
        action="append",
        required=True,
        metavar=("IMAGE_ID", "DRIVE"),
        help="an image, and a block device, disk file or directory with what is on it",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=f"write the result here, not to ${BUCKET} in S3"
    )
    return parser


def _bucket() -> str:
    bucket = os.environ.get(BUCKET)
    if not bucket:
        raise NotDeliveredError(f"{BUCKET} is not set, and there is no --output")
    return bucket


def read_limits(environment: Mapping[str, str]) -> Limits:
    """Return the limits that the environment sets. Raises ValueError for what is no number."""
    default = Limits()

    def number(name: str, otherwise: float) -> float:
        text = environment.get(name)
        if not text:
            return otherwise
        if not text.isdecimal() or not int(text):
            raise ValueError(f"{name} must be a number above 0")
        return int(text)

    return Limits(
        seconds=number(SECONDS, default.seconds),
        read_bytes=int(number(READ_BYTES, default.read_bytes)),
        memory_bytes=max(64 * MIB, int(number(MEMORY_BYTES, default.memory_bytes))),
    )


def inspect_targets(targets: Sequence[tuple[str, str]], limits: Limits) -> dict[str, Entry]:
    """Return what there is to say of each image; several drives may belong to one."""
    drives: dict[str, dict[str, Any]] = {}
    errors: dict[str, list[str]] = {}
    for image, drive in targets:
        found, own_errors = inspect_target(drive, limits)
        drives.setdefault(image, {})[drive] = found
        errors.setdefault(image, []).extend(own_errors)
    return {image: make_entry(found, errors[image]) for image, found in drives.items()}


def inspect_target(drive: str, limits: Limits) -> tuple[dict[str, Any], list[str]]:
    """Return results by partitions, and the errors of the drive."""
    if Path(drive).is_dir():
        return {drive: inspect_file_system(DirectoryFileSystem(drive))}, []
    try:
        with FileSource(drive) as source:
            report = inspect_isolated(source, drive, limits)
    except (UnreadableError, NotStartedError) as error:
        return {}, [brief(f"{drive}: {error}")]
    return report.partitions, report.errors


def _summary(entry: Entry) -> str:
    keys = ("rhel_found", "rhel_version", "os_id", "os_version", "package_count", "inconclusive")
    told = ", ".join(f"{key} {entry[key]}" for key in keys)
    return f"{told}, {len(entry['errors'])} errors"
