"""Why an image counts as RHEL for a customer, and since when (spec 10 §1, §4)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from api.images.facts import FOUND_KEYS
from api.models import ImageFact

JSONObject = dict[str, Any]

TAG, CLOUD_ACCESS, LICENSE = "tag", "cloud_access", "license"

_PRESENT = f"""
SELECT image.id, image.created_at, image.cloud_type = 'azure', image.is_cloud_access,
       image.rhel_detected_by_license,
       image.cloud_type = 'azure' AND image.rhel_detected_by_tag OR EXISTS (
           SELECT FROM api_imagetags tags
           JOIN api_cloudaccount account ON account.id = tags.cloud_account_id
           WHERE tags.machine_image_id = image.id AND tags.rhel AND account.user_id = %s
       ),
       {", ".join(f"image.{key}" for key in FOUND_KEYS)}
FROM api_machineimage image
WHERE image.id = ANY(%s)
"""  # noqa: S608 - made of constants


class _Start(NamedTuple):
    """The fact from which on a reason has held without a break."""

    since: datetime
    evidence: Mapping[str, Any]


def reasons_of(
    *, user_id: int, image_ids: Iterable[int], computed_at: datetime
) -> dict[int, JSONObject]:
    """Return, for each image, all reasons that hold now; two statements.

    The member ``changed_since_computed`` says that more has been learnt since the number was
    calculated at ``computed_at``.
    """
    ids = list(image_ids)
    with connection.cursor() as cursor:
        cursor.execute(_PRESENT, [user_id, ids])
        present = cursor.fetchall()
    histories: dict[int, list[ImageFact]] = {image_id: [] for image_id in ids}
    facts = ImageFact.objects.filter(machine_image_id__in=ids).order_by("valid_from", "id")
    for fact in facts:
        if fact.user_id in (None, user_id):
            histories[fact.machine_image_id].append(fact)
    return {row[0]: _shown(row, histories[row[0]], computed_at) for row in present}


def _shown(row: Sequence[Any], history: Sequence[ImageFact], computed_at: datetime) -> JSONObject:
    _, created_at, is_azure, cloud_access, by_license, tagged, *found = row
    holding = {
        **dict(zip(FOUND_KEYS, found, strict=True)),
        TAG: tagged,
        CLOUD_ACCESS: cloud_access,
        LICENSE: by_license,
    }
    starts = _starts(history, is_azure)
    unknown = _Start(history[0].valid_from if history else created_at, {})
    shown: JSONObject = {
        "rhel_reasons": [
            {"reason": reason, **starts.get(reason, unknown)._asdict()}
            for reason, holds in holding.items()
            if holds
        ]
    }
    if history and history[-1].valid_from > computed_at:
        shown["changed_since_computed"] = True
    return shown


def _starts(history: Iterable[ImageFact], is_azure: bool) -> dict[str, _Start]:
    """Return, for each reason that a history ends with, the fact that began it."""
    starts: dict[str, _Start] = {}
    for fact in history:
        concerned, held = _told_by(fact, is_azure)
        for reason in concerned - held:
            starts.pop(reason, None)
        for reason in held - starts.keys():
            starts[reason] = _Start(fact.valid_from, fact.evidence)
    return starts


def _told_by(fact: ImageFact, is_azure: bool) -> tuple[set[str], set[str]]:
    """Return the reasons that a fact speaks of, and those of them that it says hold."""
    if fact.user_id is not None:
        return {TAG}, {TAG} if fact.is_rhel else set()
    if fact.reason == ImageFact.Reason.INSPECTION:
        rules = fact.evidence.get("rules", ())
        return set(FOUND_KEYS), {f"{rule}_found" for rule in rules} & set(FOUND_KEYS)
    # What a cloud says of an image is not told apart in its history. An AMI's tags are customers'.
    by_cloud = {CLOUD_ACCESS, LICENSE} | ({TAG} if is_azure else set())
    return by_cloud, by_cloud if fact.is_rhel else set()
