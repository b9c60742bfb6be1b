"""What a finding rests on, for people to check (spec 11 §2). Pure."""

from datetime import datetime
from typing import Any, NamedTuple

from api.images.facts import is_sold
from api.models import BillingFinding, CloudType

JSONObject = dict[str, Any]


class BillingEvidence(NamedTuple):
    """What is known of an instance during a finding, and of its image."""

    cloud_type: str
    image_name: str | None
    image_operation: str | None
    is_marketplace: bool | None
    is_cloud_access: bool | None
    publisher: str | None
    offer: str | None
    operation: str | None
    licenses: list[Any] | None
    product_codes: list[Any] | None
    observed_at: datetime | None
    origin: str
    billing: str
    has_rhui: bool
    has_cert: bool
    on_seconds: int


def evidence_of(kind: str, known: BillingEvidence) -> list[JSONObject]:
    """Return what speaks for a finding: objects with ``name``, ``of``, ``value``, ``observed_at``.

    ``of`` is ``instance`` or ``image``; ``observed_at`` (UTC) is when the cloud first said so.
    """
    told = _said(known)
    if kind == BillingFinding.Kind.CONVERTED:
        told.append(_image("billing", known.origin))
    if kind == BillingFinding.Kind.OWN_NOT_REGISTERED:
        told.append(_of("instance", "on_seconds_in_14_days", known.on_seconds))
    if known.has_rhui:
        told.append(_image("rhui_client_found", True))
    if known.has_cert:
        told.append(_image("consumer_or_entitlement_cert_found", True))
    return told


def _said(known: BillingEvidence) -> list[JSONObject]:
    """Return what decided the class, and the class."""
    by_cloud = _by_aws(known) if known.cloud_type == CloudType.AWS else _by_licence(known)
    return [*by_cloud, _of("instance", "billing", known.billing)]


def _by_aws(known: BillingEvidence) -> list[JSONObject]:
    told = []
    if known.operation is not None:
        told.append(_of("instance", "usage_operation", known.operation, known.observed_at))
    elif known.image_operation is not None:
        told.append(_image("usage_operation", known.image_operation))
    if is_sold(known.product_codes):
        told.append(_of("instance", "product_codes", known.product_codes, known.observed_at))
    if known.is_marketplace:
        told.append(_image("marketplace", known.image_name))
    if known.is_cloud_access:
        told.append(_image("cloud_access", known.image_name))
    return told


def _by_licence(known: BillingEvidence) -> list[JSONObject]:
    if known.licenses:
        return [_of("instance", "licenses", known.licenses, known.observed_at)]
    if known.publisher:
        return [_image("offer", f"{known.publisher}:{known.offer}")]
    return []


def _image(name: str, value: Any) -> JSONObject:
    return _of("image", name, value)


def _of(what: str, name: str, value: Any, observed_at: datetime | None = None) -> JSONObject:
    return {"name": name, "of": what, "value": value, "observed_at": observed_at}
