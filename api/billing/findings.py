"""What is wrong in how instances' RHEL is paid: one pass over a customer's runs (spec 11 §2, §5).

A finding is an unbroken stretch of one instance; its ``seconds`` and ``vcpu_seconds`` are those
within the time asked for, at most until now. Boundaries are cut down to whole seconds. Nothing here
changes a count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from api.billing.classes import billing_class, image_class, is_told
from api.billing.evidence import BillingEvidence, evidence_of
from api.billing.stretches import STRETCHES
from api.billing.unknown import report_unknown
from api.models import BillingFinding

Kind = BillingFinding.Kind

UNREGISTERED_SECONDS = 7 * 86_400
"""How long an instance must have been on without a registration ..."""
LOOK_BACK = timedelta(days=14)
"""... and within which time before."""

JSONObject = dict[str, Any]

# The parts of a stretch in which each kind holds. A conversion to a subscription that is registered
# is all right: the cloud does not charge, and the subscription is consumed. Runs that ended before
# the time asked for matter to one kind only.
_KINDS = f"""(VALUES
    ('{Kind.COUNTED_BUT_BILLED}', CASE WHEN is_now AND counted AND billing = 'cloud'
                                       THEN whole END),
    ('{Kind.REGISTERED_BUT_BILLED}', CASE WHEN is_now AND billing = 'cloud'
                                          THEN whole * registered END),
    ('{Kind.OWN_NOT_REGISTERED}', CASE WHEN counted AND billing = 'own' THEN whole END),
    ('{Kind.CONVERTED}', CASE
        WHEN is_now AND billing = 'own' AND origin = 'cloud' THEN whole - registered
        WHEN is_now AND billing = 'cloud' AND origin = 'own' THEN whole END),
    ('{Kind.UNKNOWN_CLASS}', CASE WHEN is_now AND counted AND billing = 'unknown' THEN whole END)
) AS found (kind, parts)"""

_REGISTRATIONS = """
billed_registration AS MATERIALIZED (
    SELECT told.instance_id, range_agg(tstzrange(
               date_trunc('second', told.registered_from),
               date_trunc('second', told.registered_until))) AS registered
    FROM (
        SELECT instance.id AS instance_id, told.registered_from, told.registered_until
        FROM api_registration told
        JOIN api_instance instance ON instance.cloud_type = told.cloud
             AND lower(instance.cloud_instance_id) = lower(told.cloud_id)
        WHERE told.user_id = %(user)s
          AND instance.cloud_account_id = ANY(ARRAY(SELECT id FROM billed_account))
        UNION ALL
        SELECT instance.id, told.registered_from, told.registered_until
        FROM api_registration told
        JOIN api_instance instance ON instance.cloud_type = told.cloud
             AND lower(instance.vm_id) = lower(told.cloud_id)
        WHERE told.user_id = %(user)s
          AND instance.cloud_account_id = ANY(ARRAY(SELECT id FROM billed_account))
    ) told
    GROUP BY told.instance_id
)"""

# Of a run in which the size changed: each part by the size that held then.
_RESIZED = """(
    SELECT sum(coalesce(told.cpus, trunc(size.vcpu)) * greatest(0, extract(epoch FROM
               least(told.until, broken.hi, %(end)s)
               - greatest(told.since, broken.lo, %(begin_seen)s))))::bigint
    FROM (
        SELECT at AS since, coalesce(lead(at) OVER (ORDER BY at), 'infinity') AS until,
               instance_type, cpus
        FROM (
            SELECT '-infinity'::timestamptz AS at, broken.instance_type, broken.cpus
            UNION ALL
            SELECT date_trunc('second', timestamptz 'epoch'
                       + (resize ->> 0)::bigint * interval '1 microsecond'),
                   resize ->> 1, (resize ->> 2)::integer
            FROM jsonb_array_elements(broken.resizes) AS resize
        ) changes
    ) told
    LEFT JOIN api_instancedefinition size ON size.cloud_type = broken.cloud_type
         AND size.instance_type = told.instance_type
)"""

FINDINGS = f"""
WITH {STRETCHES},
{_REGISTRATIONS},
stretch AS MATERIALIZED (
    SELECT billed.*, coalesce(billed.end_time >= %(begin_seen)s, true) AS is_now,
           row_number() OVER (ORDER BY billed.instance_id, billed.since) AS number,
           tstzmultirange(tstzrange(date_trunc('second', billed.since),
                                    date_trunc('second', billed.until))) AS whole,
           coalesce(known.registered, '{{}}') AS registered,
           -- An instance begins with its image's class. If that is unknown, with the first known.
           CASE WHEN image.first_class <> 'unknown' THEN image.first_class
                ELSE {
    billing_class(
        cloud_type="billed.cloud_type", is_rhel="coalesce(image.counted, false)", fact="earliest"
    )
} END AS origin
    FROM billed
    LEFT JOIN (
        SELECT image.*, {
    image_class(cloud_type="image.cloud_type", is_rhel="image.counted")
} AS first_class
        FROM billed_image image
    ) image ON image.id = billed.machine_image_id
    LEFT JOIN billed_fact earliest
         ON earliest.instance_id = billed.instance_id AND earliest.before IS NULL
    LEFT JOIN billed_registration known ON known.instance_id = billed.instance_id
),
piece AS (
    SELECT found.kind, stretch.instance_id, stretch.number, {is_told("stretch")} AS is_told,
           coalesce(stretch.cpus, stretch.vcpu) AS vcpu, stretch.resizes, stretch.cpus,
           stretch.instance_type, stretch.cloud_type,
           lower(part) AS lo, coalesce(upper(part), 'infinity') AS hi,
           CASE WHEN found.kind = '{Kind.OWN_NOT_REGISTERED}' THEN coalesce(
               upper(stretch.whole * stretch.registered
                     * tstzmultirange(tstzrange(NULL, %(end)s))), '-infinity'
           ) END AS registered_last
    FROM stretch CROSS JOIN LATERAL {_KINDS} CROSS JOIN LATERAL unnest(found.parts) AS part
),
numbered AS (
    SELECT broken.*,
           CASE WHEN resizes IS NULL THEN vcpu * seconds ELSE {_RESIZED} END
               AS vcpu_seconds,
           sum(is_first) OVER (
               PARTITION BY kind, instance_id ORDER BY lo ROWS UNBOUNDED PRECEDING) AS place
    FROM (
        SELECT piece.*,
               greatest(0, extract(
                   epoch FROM least(hi, %(end)s) - greatest(lo, %(begin_seen)s)
               ))::bigint AS seconds,
               CASE WHEN lag(hi) OVER (PARTITION BY kind, instance_id ORDER BY lo) = lo
                    THEN 0 ELSE 1 END AS is_first
        FROM piece
    ) broken
),
island AS (
    SELECT kind, instance_id, min(lo) AS lo, max(hi) AS hi, sum(seconds)::bigint AS seconds,
           sum(vcpu_seconds)::bigint AS vcpu_seconds, max(registered_last) AS registered_last,
           least(max(hi), %(end)s) AS seen_until,
           max(number) AS last_number,
           bool_and(is_told) AS is_told
    FROM numbered
    GROUP BY kind, instance_id, place
),
judged AS (
    SELECT looked_back.*,
           on_since_then - greatest(0, extract(epoch FROM
               seen_until - %(look_back)s - earliest_lo))::bigint AS on_seconds
    FROM (
        SELECT island.*, min(lo) OVER recent AS earliest_lo,
               (sum(extract(epoch FROM seen_until - lo)) OVER recent)::bigint AS on_since_then,
               max(registered_last) OVER recent AS recently_registered
        FROM island
        WHERE lo < %(end)s
        WINDOW recent AS (
            PARTITION BY kind, instance_id ORDER BY seen_until
            RANGE BETWEEN %(look_back)s PRECEDING AND CURRENT ROW
        )
    ) looked_back
),
wrong AS (
    SELECT judged.*, stretch.machine_image_id, stretch.cloud_account_id, stretch.usage_operation,
           stretch.licenses, stretch.product_codes, stretch.observed_at, stretch.origin,
           stretch.billing
    FROM judged JOIN stretch ON stretch.number = judged.last_number
    WHERE seconds > 0 AND (kind <> '{Kind.OWN_NOT_REGISTERED}'
        OR on_seconds >= {UNREGISTERED_SECONDS}
           AND recently_registered <= seen_until - %(look_back)s)
),
hint AS MATERIALIZED (
    SELECT id, coalesce(inspection_json ~ '"rhui_client_found": *true', false) AS has_rhui,
           coalesce(inspection_json ~
               '"consumer_cert_found": *true|"entitlement_certs_found": *[1-9]', false) AS has_cert
    FROM api_machineimage WHERE id IN (SELECT machine_image_id FROM wrong)
),
finding AS (
    SELECT wrong.*, coalesce(hint.has_rhui, false) AS has_rhui,
           coalesce(hint.has_cert, false) AS has_cert,
           CASE WHEN CASE wrong.kind
               WHEN '{Kind.CONVERTED}' THEN wrong.is_told
               WHEN '{Kind.UNKNOWN_CLASS}' THEN
                   wrong.usage_operation IS NOT NULL OR wrong.licenses IS NOT NULL
               WHEN '{Kind.OWN_NOT_REGISTERED}' THEN
                   wrong.is_told AND NOT coalesce(hint.has_rhui OR hint.has_cert, false)
                   AND EXISTS (SELECT FROM api_registration WHERE user_id = %(user)s)
               ELSE wrong.is_told OR coalesce(hint.has_rhui AND NOT hint.has_cert, false)
           END THEN '{BillingFinding.Confidence.CERTAIN}'
           ELSE '{BillingFinding.Confidence.LIKELY}' END AS confidence
    FROM wrong LEFT JOIN hint ON hint.id = wrong.machine_image_id
)
"""  # noqa: S608 - made of constants

"""SQL of common table expressions, ``finding`` with a row for each; ``Window.parameters``."""

_FROM = """
FROM finding
JOIN api_instance instance ON instance.id = finding.instance_id
LEFT JOIN api_machineimage image ON image.id = finding.machine_image_id
WHERE true {condition}
"""

_PAGE = f"""
SELECT finding.kind, finding.confidence, finding.lo, nullif(finding.hi, 'infinity'),
       finding.seconds, finding.vcpu_seconds,
       instance.id, instance.cloud_type, instance.cloud_instance_id, instance.region,
       finding.cloud_account_id, image.id, image.cloud_image_id, image.name,
       image.usage_operation, image.is_marketplace, image.is_cloud_access, image.publisher,
       image.offer, finding.usage_operation, finding.licenses, finding.product_codes,
       finding.observed_at, finding.origin, finding.billing, finding.has_rhui,
       finding.has_cert, finding.on_seconds, count(*) OVER ()
{_FROM}ORDER BY finding.seconds DESC, finding.instance_id, finding.lo, finding.kind
LIMIT %(rows)s OFFSET %(offset)s
"""

_INSTANCE = ("instance_id", "cloud_type", "cloud_id", "region", "cloud_account_id")
_IMAGE = ("image_id", "cloud_id", "name")


@dataclass(frozen=True)
class FindingsQuery:
    """What is asked for: a customer's findings from one moment (UTC) to another, seen now."""

    user_id: int
    begin: datetime
    limit: datetime
    now: datetime

    def parameters(self) -> JSONObject:
        """Return the parameters of the statements."""
        return {
            "user": self.user_id,
            "begin": self.begin - LOOK_BACK,
            "begin_seen": self.begin,
            "limit": self.limit,
            "end": min(self.limit, self.now).replace(microsecond=0),
            "look_back": LOOK_BACK,
        }


def findings(
    window: FindingsQuery,
    *,
    condition: str = "",
    values: Sequence[Any] = (),
    limit: int | None = None,
    offset: int = 0,
) -> tuple[int, list[JSONObject]]:
    """Return how many findings there are, and a page: those with most seconds first.

    ``condition`` is SQL to append to a WHERE clause over the rows ``finding`` and ``instance``,
    with a ``%s`` for each of the values.
    """
    named = {f"value_{place}": value for place, value in enumerate(values)}
    for name in named:
        condition = condition.replace("%s", f"%({name})s", 1)
    statement = FINDINGS + _PAGE.replace("{condition}", condition)
    parameters = {**window.parameters(), **named, "rows": limit, "offset": offset}
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall()
        if not rows and offset:
            count_of_all = f"{FINDINGS} SELECT count(*) {_FROM.replace('{condition}', condition)}"
            cursor.execute(count_of_all, parameters)
            return cursor.fetchone()[0], []
    found = [_finding(row) for row in rows]
    report_unknown(_unknown_words(found))
    return (rows[0][-1] if rows else 0), found


def _unknown_words(found: Sequence[JSONObject]) -> dict[str, int]:
    """Return what clouds say of instances of unknown class, with one of these for each."""
    return {
        item["value"] if isinstance(item["value"], str) else str(item["value"][0]): finding[
            "instance"
        ]["instance_id"]
        for finding in found
        if finding["kind"] == Kind.UNKNOWN_CLASS
        for item in finding["evidence"]
        if item["name"] in ("usage_operation", "licenses")
    }


def _finding(row: Sequence[Any]) -> JSONObject:
    kind, confidence, since, until, seconds, vcpu_seconds = row[:6]
    instance, image = row[6:11], row[11:14]
    return {
        "kind": kind,
        "confidence": confidence,
        "instance": dict(zip(_INSTANCE, instance, strict=True)),
        "cloud_account_id": instance[-1],
        "image": None if image[0] is None else dict(zip(_IMAGE, image, strict=True)),
        "from": since,
        "until": until,
        "seconds": seconds,
        "vcpu_seconds": vcpu_seconds,
        "evidence": evidence_of(kind, BillingEvidence(instance[1], image[2], *row[14:-1])),
    }
