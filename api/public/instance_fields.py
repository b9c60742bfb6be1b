"""The fields by which instances and images are filtered and sorted, and their SQL (spec 11 §3).

In the SQL ``instance`` is a row of instances, ``image`` that of its image, if known,
``own_tags`` what the customer's tags say of the image, and ``own_finding`` the first kind of what
is wrong in how the instance's RHEL is paid.
"""

from typing import Final

from api.billing.classes import BillingClass, billing_class
from api.images.facts import FOUND_KEYS
from api.models import BillingFinding, CloudType, MachineImage
from api.models.instance import PowerState
from api.public.brackets import (
    BracketParameters,
    Field,
    FieldSql,
    OneOf,
    boolean,
    instant,
    lower_text,
    whole_number,
)
from api.public.filters import IS_RHEL
from api.trust.reasons import CLOUD_ACCESS, LICENSE, TAG

UNKNOWN = "unknown"
"""The status of an instance of which no power event is known."""

OPENSHIFT = (
    "CASE WHEN image.cloud_type = 'aws' THEN coalesce(own_tags.openshift, false)"
    " ELSE image.openshift_detected END"
)

_CLOUD = OneOf(CloudType.values)
_RHEL = Field("rhel", "Whether the image counts as RHEL.", "true", boolean)
_RHEL_VERSION = Field("rhel_version", "The version of RHEL in the image.", "8.7")
_ARCHITECTURE = Field(
    "architecture", "The architecture; empty if unknown.", "x86_64", takes_empty=True
)
_CLOUD_TYPE = Field("cloud_type", "The cloud.", "aws", _CLOUD)
_REGION = Field("region", "The region.", "us-east-1")
_USAGE_OPERATION = Field("usage_operation", "What EC2 bills.", "RunInstances:0010")


def _facet(name: str, what: str, example: str) -> Field:
    return Field(name, f"The {what} of the image; empty if unknown.", example, takes_empty=True)


INSTANCE_BRACKETS: Final = BracketParameters(
    (
        Field("account", "The account, by its account_id.", "41", whole_number),
        _CLOUD_TYPE,
        Field("cloud_id", "The cloud's id, in any case.", "i-0c1f2a9be77d01234", lower_text),
        _REGION,
        Field("instance_type", "The newest type.", "t3.large"),
        Field("image", "The image, by its image_id.", "312", whole_number),
        Field(
            "status",
            "What the newest power event says; unknown if there is none.",
            "running",
            OneOf((*PowerState.values, UNKNOWN)),
        ),
        _RHEL,
        _RHEL_VERSION,
        _ARCHITECTURE,
        Field("openshift", "Whether the image is tagged as OpenShift.", "false", boolean),
        _facet("role", "role", "Red Hat Enterprise Linux Server"),
        _facet("sla", "service level", "Premium"),
        _facet("usage", "usage", "Production"),
        _USAGE_OPERATION,
        Field("product_code", "A product code of the marketplace.", "bz0vcy31ooqlzk5tsash4r1ik"),
        Field("billing", "Who is paid for RHEL.", "own", OneOf(BillingClass.values)),
        Field(
            "finding",
            "What is wrong today or yesterday in how its RHEL is paid.",
            "counted_but_billed",
            OneOf(BillingFinding.Kind.values),
        ),
        Field("created_at", "When we came to know it.", "2023-03-01T00:00:00Z", instant),
    ),
    contains=True,
    excludes=True,
    orders=True,
    searches=True,
)

_CODES = "coalesce(instance.product_codes, image.product_codes)"
_A_CODE = f"""EXISTS (
    SELECT FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof({_CODES}) = 'array' THEN {_CODES} ELSE '[]' END
    ) code WHERE code ->> 'ProductCodeId' {{compared}}
)"""

_A_FINDING = """EXISTS (
    SELECT FROM api_billingfinding finding
    WHERE finding.instance_id = instance.id AND finding.kind {compared}
)"""

INSTANCE_COLUMNS: Final = {
    "account": FieldSql("instance.cloud_account_id", is_text=False),
    "cloud_type": FieldSql("instance.cloud_type"),
    "cloud_id": FieldSql(
        "instance.cloud_instance_id", equals="lower(instance.cloud_instance_id) = ANY(%s)"
    ),
    "region": FieldSql("instance.region"),
    "instance_type": FieldSql("instance.instance_type"),
    "image": FieldSql("instance.machine_image_id", is_text=False),
    "status": FieldSql(f"coalesce(instance.power_state, '{UNKNOWN}')"),
    "rhel": FieldSql(IS_RHEL, is_text=False),
    "rhel_version": FieldSql("image.rhel_version"),
    "architecture": FieldSql("image.architecture"),
    "openshift": FieldSql(OPENSHIFT, is_text=False),
    "role": FieldSql("image.role"),
    "sla": FieldSql("image.sla"),
    "usage": FieldSql("image.usage"),
    "usage_operation": FieldSql("coalesce(instance.usage_operation, image.usage_operation)"),
    "product_code": FieldSql(
        f"{_CODES} -> 0 ->> 'ProductCodeId'",
        equals=_A_CODE.format(compared="= ANY(%s)"),
        contains=_A_CODE.format(compared="ILIKE ANY(%s)"),
    ),
    "billing": FieldSql(
        billing_class(
            cloud_type="instance.cloud_type", is_rhel=f"coalesce({IS_RHEL}, false)", fact="fact"
        )
    ),
    "finding": FieldSql(
        "own_finding.kind",
        equals=_A_FINDING.format(compared="= ANY(%s)"),
        contains=_A_FINDING.format(compared="ILIKE ANY(%s)"),
    ),
    "created_at": FieldSql("instance.created_at", is_text=False),
}
VCPU: Final = """coalesce(
    (
        SELECT cpu_cores * threads_per_core FROM api_instancefact
        WHERE instance_id = instance.id ORDER BY observed_at DESC, id DESC LIMIT 1
    ),
    (
        SELECT vcpu::integer FROM api_instancedefinition
        WHERE cloud_type = instance.cloud_type AND instance_type = instance.instance_type
    )
)"""
"""By the instance's own CPU options, or else by its type."""

INSTANCE_SEARCH: Final = ("instance.cloud_instance_id", "image.name")

IMAGE_REASONS: Final = {
    **{key: f"image.{key}" for key in FOUND_KEYS},
    TAG: "coalesce(own_tags.rhel, image.cloud_type = 'azure' AND image.rhel_detected_by_tag)",
    CLOUD_ACCESS: "image.is_cloud_access",
    LICENSE: "image.rhel_detected_by_license",
}
"""By why an image counts as RHEL, the SQL that says whether it does for this reason."""

OPERATOR = "operator"

_REASONS = ", ".join(f"CASE WHEN {sql} THEN '{name}' END" for name, sql in IMAGE_REASONS.items())
_A_REASON = f"EXISTS (SELECT FROM unnest(ARRAY[{_REASONS}]) reason WHERE reason {{compared}})"

IMAGE_BRACKETS: Final = BracketParameters(
    (
        _CLOUD_TYPE,
        Field("cloud_id", "The cloud's id, in any case.", "ami-0a1b2c3d4e5f60718", lower_text),
        Field("owner", "The AWS account that owns the image.", "309956199498"),
        _REGION,
        Field("name", "The name.", "RHEL-8.7.0_HVM"),
        Field("status", "The status.", "inspected", OneOf(MachineImage.Status.values)),
        _RHEL,
        _RHEL_VERSION,
        _ARCHITECTURE,
        Field("marketplace", "Whether it is sold on a marketplace.", "false", boolean),
        Field("cloud_access", "Whether it is of Cloud Access.", "false", boolean),
        _USAGE_OPERATION,
        Field(
            "rhel_reason",
            "One of the reasons why it counts as RHEL.",
            "rhel_product_certs_found",
            OneOf((*IMAGE_REASONS, OPERATOR)),
        ),
    ),
    contains=True,
    excludes=True,
    orders=True,
    searches=True,
)

IMAGE_COLUMNS: Final = {
    "cloud_type": FieldSql("image.cloud_type"),
    "cloud_id": FieldSql("image.cloud_image_id", equals="lower(image.cloud_image_id) = ANY(%s)"),
    "owner": FieldSql("image.owner_aws_account_id"),
    "region": FieldSql("image.region"),
    "name": FieldSql("image.name"),
    "status": FieldSql("image.status"),
    "rhel": FieldSql(IS_RHEL, is_text=False),
    "rhel_version": FieldSql("image.rhel_version"),
    "architecture": FieldSql("image.architecture"),
    "marketplace": FieldSql("image.is_marketplace", is_text=False),
    "cloud_access": FieldSql("image.is_cloud_access", is_text=False),
    "usage_operation": FieldSql("image.usage_operation"),
    "rhel_reason": FieldSql(
        f"(array_remove(ARRAY[{_REASONS}], NULL))[1]",
        equals=_A_REASON.format(compared="= ANY(%s)"),
        contains=_A_REASON.format(compared="ILIKE ANY(%s)"),
    ),
}
IMAGE_SEARCH: Final = ("image.cloud_image_id", "image.name")
