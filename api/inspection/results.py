"""What the inspector tells: its result files, whoever wrote them (spec 05 §8). Pure.

Everything is kept, keys that we do not know too; only what could not be stored is changed.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from api.images.facts import FOUND_KEYS, storable

MAX_TEXT = 10 * 1024 * 1024
"""Bytes of a result that are stored (README decision 29)."""

BULK = "drives"
NEEDED = (*FOUND_KEYS, "rhel_version", "syspurpose", "errors")

MAX_PATHS = 4
MAX_PATH = 200
"""How much of a result becomes evidence in an image's history, which has 2 KB."""


class UnreadableResultError(ValueError):
    """The text is no result file."""


class Finding(NamedTuple):
    """What a file says of one image, as text that can be stored.

    ``document`` is the file as if it told of this image alone. ``omitted`` says what is not stored
    of either.
    """

    ami_id: str
    entry: str
    document: str
    omitted: str
    evidence: dict[str, Any]
    errors: list[Any]
    is_conclusive: bool
    producer_name: str
    producer_version: str


class Result(NamedTuple):
    """A result file."""

    cloud: Any
    findings: list[Finding]
    errors: list[Any]


def parse_result(data: bytes) -> Result:
    """Read a result file. Raises UnreadableResultError if it is no JSON, or tells of no images."""
    document = _load(data)
    images = document.get("images")
    if document.get("cloud") != "aws":
        raise UnreadableResultError(f"the cloud is {str(document.get('cloud'))[:40]!r}")
    if not isinstance(images, Mapping):
        raise UnreadableResultError("there are no images")
    rest = {key: value for key, value in document.items() if key != "images"}
    return Result(
        cloud=document["cloud"],
        findings=[_finding(ami_id, entry, rest) for ami_id, entry in images.items()],
        errors=_list(document.get("errors")),
    )


def _load(data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UnreadableResultError(f"no JSON: {error}"[:200]) from error
    if not isinstance(document, Mapping):
        raise UnreadableResultError("no JSON object")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _refuse(text)


def _finding(ami_id: str, entry: Any, rest: Mapping[str, Any]) -> Finding:
    kept, omitted = _fitting(entry)
    known: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
    name, version = _producer(rest)
    return Finding(
        ami_id=ami_id,
        entry=_text(kept),
        document=_text({**rest, "images": {ami_id: kept}}),
        omitted=omitted,
        evidence=_evidence(known),
        errors=_list(known.get("errors")),
        is_conclusive=_is_conclusive(known),
        producer_name=name,
        producer_version=version,
    )


def _fitting(entry: Any) -> tuple[Any, str]:
    """Give what may be stored of an entry, and what is missing from it then."""
    size = len(_text(entry).encode())
    if size <= MAX_TEXT or not isinstance(entry, Mapping):
        return (entry, "") if size <= MAX_TEXT else ({}, f"all of {size} bytes")
    kept = {key: value for key, value in entry.items() if key != BULK}
    if len(_text(kept).encode()) <= MAX_TEXT:
        return kept, f"{BULK}, of {size} bytes in all"
    needed = {key: entry[key] for key in NEEDED if key in entry}
    if len(_text(needed).encode()) > MAX_TEXT:
        needed = {key: entry[key] for key in FOUND_KEYS if key in entry}
    return needed, f"all but {', '.join(needed)}, of {size} bytes in all"


def _text(value: Any) -> str:
    """Give JSON that PostgreSQL can store, and read."""
    return json.dumps(storable(value), ensure_ascii=False)


def _producer(document: Mapping[str, Any]) -> tuple[str, str]:
    """Give name and version of the file's producer, if it is one that tells."""
    producer = document.get("producer")
    if isinstance(producer, Mapping):
        return _word(producer.get("name")), _word(producer.get("version"))
    return _word(producer), ""


def _word(value: Any) -> str:
    return _printable(value)[:MAX_PATH] if isinstance(value, str) else ""


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def partitions(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the partitions that an entry tells of, with their paths; odd ones are left out."""
    drives = entry.get("drives")
    for drive in drives.values() if isinstance(drives, Mapping) else ():
        for path, partition in drive.items() if isinstance(drive, Mapping) else ():
            if isinstance(partition, Mapping):
                yield path, partition


def _is_conclusive(entry: Mapping[str, Any]) -> bool:
    """Tell whether anything could be looked at, as far as the entry says (spec 05 §11.8, 13 §2)."""
    if isinstance(entry.get("inconclusive"), bool):
        return not entry["inconclusive"]
    found = [partition for _, partition in partitions(entry)]
    if not found:
        return "drives" not in entry
    return any("error" not in partition for partition in found)


def _evidence(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Say which rules fired, by which files and how many packages (09 P6)."""
    rules = [key.removesuffix("_found") for key in FOUND_KEYS if entry.get(key) is True]
    paths: list[str] = []
    packages = 0
    for _, partition in partitions(entry):
        facts = partition.get("facts")
        if not isinstance(facts, Mapping):
            continue
        paths += _release_files(facts.get("rhel_release_files"))
        paths += _certificates(facts.get("rhel_product_certs"))
        packages += _package_count(facts.get("rhel_signed_packages"))
    evidence: dict[str, Any] = {"rules": rules}
    if paths:
        evidence["paths"] = [_word(path) for path in paths[:MAX_PATHS]]
    if packages:
        evidence["packages"] = packages
    return evidence


def _release_files(fact: Any) -> list[str]:
    files = _list(fact.get("release_files")) if isinstance(fact, Mapping) else []
    return [
        str(one.get("rhel_release_file"))
        for one in files
        if isinstance(one, Mapping) and one.get("rhel_found") is True
    ]


def _certificates(fact: Any) -> list[str]:
    return [str(path) for path in _list(fact.get("rhel_pem_files"))] if _is_object(fact) else []


def _package_count(fact: Any) -> int:
    count = fact.get("rhel_signed_package_count") if _is_object(fact) else 0
    return min(count, 10**9) if type(count) is int and count > 0 else 0


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
