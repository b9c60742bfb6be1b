"""The billing class of an instance, as SQL, from what its cloud says of it (spec 11 §2).

``own``: its owner's subscription pays for RHEL. ``cloud``: the cloud charges for RHEL. ``unknown``:
neither is known. What the cloud says of the instance itself decides before what it says of the
image. The expressions contain no ``%``, so they stand in statements with parameters and without.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from django.db import models

from api.images.facts import MARKETPLACE


class BillingClass(models.TextChoices):
    """Who is paid for the RHEL of an instance."""

    OWN = "own"
    CLOUD = "cloud"
    UNKNOWN = "unknown"


TABLES: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("tables.json").read_text(encoding="utf-8")
)
_OPERATIONS = TABLES["aws"]["usage_operations"]
_LICENSES = TABLES["azure"]["license_types"]


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


KNOWN_OPERATIONS: Final = frozenset().union(*_OPERATIONS.values())
"""AWS usage operations of which the tables know what they mean for RHEL."""


def billing_class(
    *, cloud_type: str, is_rhel: str, fact: str = "fact", image: str = "image"
) -> str:
    """Return SQL of the billing class.

    ``cloud_type`` and ``is_rhel`` are SQL; ``fact`` and ``image`` name rows of ``InstanceFact`` and
    ``MachineImage``, either of which may be all null.
    """
    operation = f"coalesce({fact}.usage_operation, {image}.usage_operation)"
    return f"""CASE {cloud_type}
    WHEN 'aws' THEN {_aws(operation, is_rhel, f"{fact}.product_codes", image)}
    WHEN 'azure' THEN {_azure(is_rhel, fact, image)}
    WHEN 'gcp' THEN {_gcp(fact)}
    ELSE 'unknown' END"""


def image_class(*, cloud_type: str, is_rhel: str, image: str = "image") -> str:
    """Return SQL of the class with which instances of an image begin."""
    return f"""CASE {cloud_type}
    WHEN 'aws' THEN {_aws(f"{image}.usage_operation", is_rhel, f"{image}.product_codes", image)}
    WHEN 'azure' THEN {_azure_offer(is_rhel, f"{image}.publisher", f"{image}.offer")}
    ELSE 'unknown' END"""


def _aws(operation: str, is_rhel: str, product_codes: str, image: str) -> str:
    sold = f"""{product_codes} @> '[{{"ProductCodeType": "{MARKETPLACE}"}}]'::jsonb"""
    return f"""CASE
        WHEN {operation} IN ({_quoted(_OPERATIONS["own"])}) THEN 'own'
        WHEN {operation} IN ({_quoted(_OPERATIONS["cloud"])}) THEN 'cloud'
        WHEN {sold} OR {image}.is_marketplace THEN 'cloud'
        WHEN {image}.is_cloud_access THEN 'own'
        WHEN {operation} IN ({_quoted(_OPERATIONS["no_operating_system"])}) AND {is_rhel} THEN 'own'
        ELSE 'unknown' END"""


def _azure(is_rhel: str, fact: str, image: str) -> str:
    license_type = f"nullif(upper({fact}.licenses ->> 0), {_quoted(_LICENSES['none'])})"
    told = f"{fact}.image"
    publisher = (
        f"coalesce({told} ->> 'publisher', nullif({image}.publisher, ''),"
        f" {told} #>> '{{plan,publisher}}')"
    )
    offer = (
        f"coalesce({told} ->> 'offer', nullif({image}.offer, ''), {told} #>> '{{plan,product}}')"
    )
    return f"""CASE
        WHEN {license_type} IN ({_quoted(_LICENSES["own"])}) THEN 'own'
        WHEN starts_with({license_type}, '{_LICENSES["cloud_prefix"]}') THEN 'cloud'
        WHEN {license_type} IS NOT NULL THEN 'unknown'
        ELSE {_azure_offer(is_rhel, publisher, offer)} END"""


def _azure_offer(is_rhel: str, publisher: str, offer: str) -> str:
    own_part = TABLES["azure"]["own_offer_part"]
    return f"""CASE
        WHEN lower({publisher}) IN ({_quoted(TABLES["azure"]["publishers"])}) THEN
            CASE WHEN strpos(lower({offer}), '{own_part}') > 0 THEN 'own' ELSE 'cloud' END
        WHEN {is_rhel} THEN 'own'
        ELSE 'unknown' END"""


def _gcp(fact: str) -> str:
    prefix, suffix = TABLES["gcp"]["license_prefix"], TABLES["gcp"]["own_license_suffix"]

    def has(pattern: str) -> str:
        return f"""jsonb_path_exists({fact}.licenses, '$[*] ? (@ like_regex "{pattern}")')"""

    return f"""CASE
        WHEN {has(f"(^|/){prefix}[^/]*{suffix}$")} THEN 'own'
        WHEN {has(f"(^|/){prefix}[^/]*$")} THEN 'cloud'
        ELSE 'unknown' END"""


def is_told(fact: str) -> str:
    """Return SQL: whether the cloud itself says of an instance who is paid for its RHEL."""
    operations = _quoted((*_OPERATIONS["own"], *_OPERATIONS["cloud"]))
    return f"""coalesce(CASE {fact}.cloud_type
        WHEN 'aws' THEN {fact}.usage_operation IN ({operations})
        WHEN 'azure' THEN starts_with(upper({fact}.licenses ->> 0), '{_LICENSES["cloud_prefix"]}')
        END, false)"""
