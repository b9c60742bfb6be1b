"""The result of an inspection, in the form of spec 05 §8 with the new keys of spec 13 §2."""

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from api.inspector import NAME, VERSION, magic
from api.inspector.errors import MAX_ERRORS, brief
from api.inspector.facts import RULES
from api.inspector.partition import PartitionResult

MAX_EVIDENCE = 2048
"""Bytes of an image's evidence."""

_MAX_PATHS = 4
_MAX_PATH = 120

Entry = dict[str, Any]
Drive = Mapping[str, PartitionResult]


def make_result(cloud: str, images: Mapping[str, Entry], *, run: str = "") -> dict[str, Any]:
    """Return the whole of a result file.

    ``run`` tells two inspections apart that found the same.
    """
    errors = [
        brief(f"{image}: {error}")
        for image, entry in images.items()
        for error in entry["errors"]
        if entry["inconclusive"]
    ]
    return {
        "cloud": cloud,
        "producer": {"name": NAME, "version": VERSION},
        "run": run or str(uuid.uuid4()),
        "images": dict(images),
        "errors": errors[:MAX_ERRORS],
    }


def make_entry(drives: Mapping[str, Drive], errors: Iterable[str]) -> Entry:
    """Return what a result says of one image."""
    partitions = [
        (path, partition) for drive in drives.values() for path, partition in drive.items()
    ]
    facts = [partition["facts"] for _, partition in partitions]
    roots = [partition["facts"] for _, partition in partitions if partition.get("has_etc")]
    found = {f"{rule}_found": any(_found(one, rule) for one in facts) for rule in RULES}
    return {
        "rhel_found": any(found.values()),
        **found,
        "rhel_version": _last(_version(one) for one in facts),
        "syspurpose": _last(_purpose(one) for one in facts),
        "inspector": {"name": NAME, "version": VERSION},
        "inconclusive": not roots,
        "journal_dirty": any(one.get("journal_dirty") for _, one in partitions),
        "encrypted": any(one["filesystem"] == magic.LUKS for _, one in partitions),
        "architecture_found": _last(one.get("architecture") for one in facts),
        **_system(facts),
        "product_ids": sorted({number for one in facts for number in one.get("product_ids", ())}),
        "rhui_client_found": any(one.get("rhui_client_found") for one in facts),
        "consumer_cert_found": any(one.get("consumer_cert_found") for one in facts),
        "entitlement_certs_found": sum(one.get("entitlement_certs_found", 0) for one in facts),
        "package_count": sum(one.get("package_count", 0) for one in facts),
        "evidence": _evidence(facts),
        "drives": {drive: dict(found) for drive, found in drives.items()},
        "errors": _errors(partitions, errors),
    }


def _found(facts: Mapping[str, Any], rule: str) -> bool:
    return bool(facts.get(rule, {}).get("rhel_found"))


def _last(values: Iterable[Any]) -> Any:
    """Return the last value that is one: of several partitions the last wins."""
    return next((value for value in reversed(list(values)) if value is not None), None)


def _version(facts: Mapping[str, Any]) -> Any:
    return facts.get("os_version") if _found(facts, "rhel_release_files") else None


def _purpose(facts: Mapping[str, Any]) -> Any:
    is_rhel = any(_found(facts, rule) for rule in RULES)
    return facts.get("syspurpose") if is_rhel else None


def _system(facts: Iterable[Mapping[str, Any]]) -> Entry:
    known = _last(one if one.get("os_id") else None for one in facts) or {}
    return {
        "os_id": known.get("os_id"),
        "os_version": known.get("os_version"),
        "rhel_like": bool(known.get("rhel_like")),
    }


def _errors(partitions: Iterable[tuple[str, PartitionResult]], errors: Iterable[str]) -> list[str]:
    found = [brief(error) for error in errors]
    for path, partition in partitions:
        own = partition.get("errors") or [partition[key] for key in ("error",) if key in partition]
        found += [brief(f"{path}: {error}") for error in own]
    return found[:MAX_ERRORS]


def _evidence(facts: Iterable[Mapping[str, Any]]) -> Entry:
    """Say by what each rule was met: paths, key ids, counts."""
    evidence: Entry = {}
    for one in facts:
        for rule in RULES:
            if _found(one, rule):
                evidence.setdefault(rule, _EVIDENCE[rule](one[rule]))
    for most in range(_MAX_PATHS, -1, -1):
        if len(json.dumps(evidence).encode()) <= MAX_EVIDENCE:
            break
        for item in evidence.values():
            item["paths"] = item["paths"][:most]
    return evidence


def _paths(paths: Iterable[str]) -> list[str]:
    return [brief(path, _MAX_PATH) for path in list(paths)[:_MAX_PATHS]]


def _release_evidence(fact: Mapping[str, Any]) -> Entry:
    files = [one["rhel_release_file"] for one in fact["release_files"] if one["rhel_found"]]
    return {"paths": _paths(files), "count": len(files)}


def _certificate_evidence(fact: Mapping[str, Any]) -> Entry:
    files = fact["rhel_pem_files"]
    return {"paths": _paths(files), "count": len(files)}


def _package_evidence(fact: Mapping[str, Any]) -> Entry:
    keys = sorted(fact["key_ids"].items(), key=lambda item: -item[1])[:5]
    return {
        "paths": _paths(fact["databases"]),
        "key_ids": dict(keys),
        "count": fact["rhel_signed_package_count"],
    }


def _repository_evidence(fact: Mapping[str, Any]) -> Entry:
    repositories = fact["rhel_enabled_repos"]
    return {
        "paths": _paths(one["repo"] for one in repositories),
        "count": len(repositories),
    }


_EVIDENCE = {
    "rhel_release_files": _release_evidence,
    "rhel_product_certs": _certificate_evidence,
    "rhel_signed_packages": _package_evidence,
    "rhel_enabled_repos": _repository_evidence,
}
