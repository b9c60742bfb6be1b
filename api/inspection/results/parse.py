"""What the inspector tells: its result files, whoever wrote them (spec 05 §8). Pure.

A file is cut into what it says of each image before anything is read, so that neither its size nor
one odd part of it does any harm. Unknown keys are kept; only what cannot be stored is changed, and
of one image no more is stored than ``MAX_TEXT`` (README decision 38).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import msgspec

from api.images.facts import FOUND_KEYS, storable

MAX_TEXT = 1_000_000
"""Bytes of a result that are stored."""

MAX_IMAGES = 1000
"""Images that one file may tell of; inspectors look into one."""

MAX_REST = 50_000
"""Bytes of what a file says beside its images that are stored with each of them."""

MAX_ENTRY = MAX_TEXT - MAX_REST - 1000
"""Bytes of what it says of an image."""

MAX_OMITTED = 500
"""Characters of the names of what is not stored."""

MAX_LENIENT = 4 * 1024 * 1024
"""Bytes of a file that is not strict JSON, such as one with a byte order mark."""

BULK = "drives"
NEEDED = (*FOUND_KEYS, "rhel_version", "syspurpose", "errors")

MAX_PATHS = 4
MAX_PATH = 200
"""How much of a result becomes evidence in an image's history, which has 2 KB."""


class UnreadableResultError(ValueError):
    """The text is no result file."""


class ImageResult(NamedTuple):
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

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return len(self.entry) + len(self.document)


class ParsedResult(NamedTuple):
    """A result file; ``unreadable`` are images of which it says what cannot be read."""

    cloud: Any
    findings: list[ImageResult]
    errors: list[Any]
    unreadable: list[str]

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return sum(finding.size for finding in self.findings)


def parse_result(data: bytes) -> ParsedResult:
    """Read a result file. Raises UnreadableResultError if it is no JSON, or tells of no images."""
    try:
        return _parse(data)
    except RecursionError as error:
        raise UnreadableResultError("the JSON is too deep") from error


def _parse(data: bytes) -> ParsedResult:
    document = _cut(data, otherwise="no JSON object")
    cloud = _read(document.get("cloud", _NULL))
    if cloud != "aws":
        raise UnreadableResultError(f"the cloud is {str(cloud)[:40]!r}")
    images = _cut(document.get("images", _NULL), otherwise="there are no images")
    if len(images) > MAX_IMAGES:
        raise UnreadableResultError(f"there are {len(images)} images")
    others = {key: document[key] for key in document if key != "images"}
    rest, omitted = _keep(others, ("cloud", "producer", "errors"), MAX_REST)
    findings, unreadable = [], []
    for ami_id, raw in images.items():
        try:
            findings.append(_finding(ami_id, raw, rest, omitted))
        except UnreadableResultError as error:
            unreadable.append(f"{ami_id[:40]!r}: {error}")
    return ParsedResult(cloud, findings, _list(rest.get("errors")), unreadable)


Raw = bytes | msgspec.Raw
"""JSON that is not read yet."""

_NULL = b"null"


def _size(text: Raw) -> int:
    return memoryview(text).nbytes


def _cut(text: Raw, *, otherwise: str) -> Mapping[str, Raw]:
    """Cut an object into its members without reading them.

    Raises UnreadableResultError, which says ``otherwise`` if it is JSON but no object.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if _size(text) > MAX_LENIENT:
            raise UnreadableResultError(f"no JSON: {error}"[:200]) from error
    # The standard library takes what is not strict.
    members = _read(text)
    if not isinstance(members, Mapping):
        raise UnreadableResultError(otherwise)
    return {key: json.dumps(value).encode() for key, value in members.items()}


def _read(text: Raw) -> Any:
    """Read JSON. Raises UnreadableResultError, or RecursionError if it is too deep."""
    try:
        return json.loads(bytes(text), parse_constant=_refuse, parse_float=_finite)
    except ValueError as error:
        raise UnreadableResultError(f"no JSON: {error}"[:200]) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _refuse(text)


def _text(value: Any) -> str:
    """Return JSON that PostgreSQL can store, and read. Raises RecursionError if it is too deep."""
    return json.dumps(storable(value), ensure_ascii=False)


def _finding(
    ami_id: str, raw: Raw, rest: Mapping[str, Any], omitted_rest: list[str]
) -> ImageResult:
    entry, omitted = _fitting(raw)
    known: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
    name, version = _producer(rest)
    return ImageResult(
        ami_id=ami_id,
        entry=_text(entry),
        document=_text({**rest, "images": {ami_id: entry}}),
        omitted=", ".join([*omitted, *omitted_rest])[:MAX_OMITTED],
        evidence=_evidence(known),
        errors=_list(known.get("errors")),
        is_conclusive=_is_conclusive(known),
        producer_name=name,
        producer_version=version,
    )


def _fitting(raw: Raw) -> tuple[Any, list[str]]:
    """Read what may be stored of an entry; return with it what is missing then."""
    if _size(raw) <= MAX_ENTRY:
        try:
            entry = _read(raw)
            if len(_text(entry).encode()) <= MAX_ENTRY:
                return entry, []
        except RecursionError:
            pass
    try:
        members = _cut(raw, otherwise="no object")
    except (UnreadableResultError, RecursionError):
        return {}, [f"all of {_size(raw)} bytes"]
    return _keep({key: members[key] for key in members if key != BULK}, NEEDED, MAX_ENTRY, [BULK])


def _keep(
    members: Mapping[str, Raw], first: Sequence[str], limit: int, omitted: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Read members of an object, some of them first, as long as there are bytes left for them.

    Returns with them what is missing. One that cannot be stored is missing, too.
    """
    kept: dict[str, Any] = {}
    missing = list(omitted)
    for key in dict.fromkeys([*(key for key in first if key in members), *members]):
        size = limit + 1
        if _size(members[key]) <= limit:
            try:
                value = _read(members[key])
                size = len(_text({key: value}).encode())
            except (UnreadableResultError, RecursionError):
                pass
        if size <= limit:
            kept[key] = value
            limit -= size
        else:
            missing.append(f"{key:.40}")
    return kept, missing


def _producer(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and version of the file's producer, if it is one that tells."""
    producer = document.get("producer")
    if isinstance(producer, Mapping):
        return _word(producer.get("name")), _word(producer.get("version"))
    return _word(producer), ""


def _word(value: Any) -> str:
    return _printable(value)[:MAX_PATH] if isinstance(value, str) else ""


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def partitions(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the partitions that an entry tells of, with their paths; odd ones are left out."""
    drives = entry.get("drives")
    for drive in drives.values() if isinstance(drives, Mapping) else ():
        for path, partition in drive.items() if isinstance(drive, Mapping) else ():
            if isinstance(partition, Mapping):
                yield path, partition


def _is_conclusive(entry: Mapping[str, Any]) -> bool:
    """Check whether anything could be read, as far as the entry says (spec 05 §11.8, 13 §2)."""
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
