"""Why an image counts as RHEL for a customer, and since when (spec 10 §1, §4)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from api.images.facts import FOUND_KEYS
from api.models import ImageFact
from util.replica import connection

JSONObject = dict[str, Any]

TAG, CLOUD_ACCESS, LICENSE = "tag", "cloud_access", "license"

_PRESENT = f"""
SELECT image.id, image.created_at, image.cloud_type = 'azure', image.is_cloud_access,
       image.rhel_detected_by_license,
       image.cloud_type = 'azure' AND image.rhel_detected_by_tag OR EXISTS (
           SELECT FROM api_imagetags tags
           JOIN api_cloudaccount account ON account.id = tags.cloud_account_id
           WHERE tags.machine_image_id = image.id AND tags.rhel AND account.user_id = %(user)s
       ),
       (SELECT coalesce(jsonb_agg(
            jsonb_build_array(fact.valid_from, fact.user_id IS NOT NULL, fact.is_rhel, fact.reason,
                              fact.evidence)
            ORDER BY fact.valid_from, fact.id), '[]')
        FROM api_imagefact fact
        WHERE fact.machine_image_id = image.id
          AND (fact.user_id IS NULL OR fact.user_id = %(user)s)),
       {", ".join(f"image.{key}" for key in FOUND_KEYS)}
FROM api_machineimage image
WHERE image.id = ANY(%(images)s)
"""  # noqa: S608 - made of constants


class _Fact(NamedTuple):
    """A fact of the image's history; ``is_of_user`` says that it is a tag of the customer's."""

    valid_from: datetime
    is_of_user: bool
    is_rhel: bool | None
    reason: str
    evidence: Mapping[str, Any]


class _Start(NamedTuple):
    """The fact from which on a reason has held without a break."""

    since: datetime
    evidence: Mapping[str, Any]


def reasons_of(
    *, user_id: int, image_ids: Iterable[int], computed_at: datetime
) -> dict[int, JSONObject]:
    """Return, for each image, all reasons that hold now; one statement.

    The member ``changed_since_computed`` says that more has been learnt since the number was
    calculated at ``computed_at``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PRESENT, {"user": user_id, "images": list(image_ids)})
        return {row[0]: _shown(row, computed_at) for row in cursor.fetchall()}


def _shown(row: Sequence[Any], computed_at: datetime) -> JSONObject:
    _, created_at, is_azure, cloud_access, by_license, tagged, facts, *found = row
    history = [_Fact(datetime.fromisoformat(fact[0]), *fact[1:]) for fact in json.loads(facts)]
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


def _starts(history: Iterable[_Fact], is_azure: bool) -> dict[str, _Start]:
    """Return, for each reason that a history ends with, the fact that began it."""
    starts: dict[str, _Start] = {}
    for fact in history:
        concerned, held = _told_by(fact, is_azure)
        for reason in concerned - held:
            starts.pop(reason, None)
        for reason in held - starts.keys():
            starts[reason] = _Start(fact.valid_from, fact.evidence)
    return starts


def _told_by(fact: _Fact, is_azure: bool) -> tuple[set[str], set[str]]:
    """Return the reasons that a fact speaks of, and those of them that it says hold."""
    if fact.is_of_user:
        return {TAG}, {TAG} if fact.is_rhel else set()
    if fact.reason == ImageFact.Reason.INSPECTION:
        rules = fact.evidence.get("rules", ())
        return set(FOUND_KEYS), {f"{rule}_found" for rule in rules} & set(FOUND_KEYS)
    # What a cloud says of an image is not told apart in its history. An AMI's tags are customers'.
    by_cloud = {CLOUD_ACCESS, LICENSE} | ({TAG} if is_azure else set())
    return by_cloud, by_cloud if fact.is_rhel else set()
