"""What lists are to give, as plain Python makes it of everything there is."""

from api.public.timestamps import render_instant
from tests.api.public.callers import Caller
from tests.factories import utc

CREATED = utc("2023-03-01")


def everything(as_user: Caller, path: str, key: str) -> list[int]:
    """Walk all pages by their links."""
    ids: list[int] = []
    link: str | None = path
    while link:
        body = as_user.get(link)
        assert body.status_code == 200, body.content
        page = body.json()
        ids += [row[key] for row in page["data"]]
        link = page["links"]["next"] and page["links"]["next"].partition("/v2")[2]
    assert page["meta"]["count"] == len(ids)
    return ids


def tags_of(user, image) -> tuple[bool, bool]:
    own = list(image.tags.filter(cloud_account__user=user))
    return any(one.rhel for one in own), any(one.openshift for one in own)


def image_values(user, image) -> dict:
    """What is known of an image, by field; a list has several values."""
    rhel_tag, openshift = tags_of(user, image)
    is_azure = image.cloud_type == "azure"
    reasons = {
        "rhel_enabled_repos_found": image.rhel_enabled_repos_found,
        "rhel_product_certs_found": image.rhel_product_certs_found,
        "rhel_release_files_found": image.rhel_release_files_found,
        "rhel_signed_packages_found": image.rhel_signed_packages_found,
        "tag": image.rhel_detected_by_tag if is_azure else rhel_tag,
        "cloud_access": image.is_cloud_access,
        "license": image.rhel_detected_by_license,
    }
    return {
        "cloud_type": image.cloud_type,
        "cloud_id": image.cloud_image_id,
        "owner": image.owner_aws_account_id,
        "region": image.region,
        "name": image.name,
        "status": image.status,
        "rhel": any(reasons.values()),
        "rhel_version": image.rhel_version,
        "architecture": image.architecture,
        "marketplace": image.is_marketplace,
        "cloud_access": image.is_cloud_access,
        "usage_operation": image.usage_operation,
        "rhel_reason": [reason for reason, holds in reasons.items() if holds],
        "openshift": image.openshift_detected if is_azure else openshift,
        "role": image.role,
        "sla": image.sla,
        "usage": image.usage,
    }


def instance_values(user, instance) -> dict:
    image = instance.machine_image
    known = image_values(user, image) if image else {}
    codes = instance.product_codes
    if codes is None:
        codes = (image.product_codes if image else None) or []
    return {
        "account": instance.cloud_account_id,
        "cloud_type": instance.cloud_type,
        "cloud_id": instance.cloud_instance_id,
        "region": instance.region,
        "instance_type": instance.instance_type,
        "image": instance.machine_image_id,
        "status": instance.power_state or "unknown",
        "usage_operation": instance.usage_operation or known.get("usage_operation"),
        "product_code": [code["ProductCodeId"] for code in codes],
        "created_at": render_instant(instance.created_at),
        "finding": sorted(instance.billing_findings.values_list("kind", flat=True)),
        "name": known.get("name"),
        **{
            name: known.get(name)
            for name in ("rhel", "rhel_version", "architecture", "openshift", "role", "sla")
        },
        "usage": known.get("usage"),
    }


EMPTY_IS_UNKNOWN = {"architecture", "role", "sla", "usage"}


def texts_of(value) -> list[str]:
    """How the values of a row are written in a query."""
    values = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in values]


def is_equal(name: str, value, wanted: list[str]) -> bool:
    if value is None:
        return name in EMPTY_IS_UNKNOWN and "" in wanted
    if name == "cloud_id":
        return value.lower() in [one.lower() for one in wanted]
    return bool(set(texts_of(value)) & set(wanted))


def is_within(value, wanted: list[str]) -> bool:
    if value is None:
        return False
    return any(one.lower() in text.lower() for one in wanted for text in texts_of(value))


def passes(values: dict, query: dict[str, list[str]]) -> bool:
    for parameter, wanted in query.items():
        verb, _, field = parameter.removesuffix("]").partition("[")
        if verb == "order_by":
            continue
        if field == "search":
            holds = is_within(values["cloud_id"], wanted) or is_within(values["name"], wanted)
        elif field.startswith("contains:"):
            holds = is_within(values[field.removeprefix("contains:")], wanted)
        else:
            holds = is_equal(field, values[field], wanted) is (verb == "filter")
        if not holds:
            return False
    return True


def in_order(rows: list[tuple[int, dict]], query: dict[str, list[str]]) -> list[int]:
    """Sort ids that are in the route's own order; rows without a value last, or first."""
    ordered = next((name for name in query if name.startswith("order_by[")), None)
    if ordered:
        field = ordered[len("order_by[") : -1]

        def value(row):
            found = row[1][field]
            return (found[0] if found else None) if isinstance(found, list) else found

        is_descending = query[ordered] == ["desc"]
        known = [row for row in rows if value(row) is not None]
        unknown = [row for row in rows if value(row) is None]
        known.sort(key=value, reverse=is_descending)
        rows = unknown + known if is_descending else known + unknown
    return [id for id, _ in rows]
