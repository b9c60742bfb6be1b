"""Subscription Watch's messages: vCPUs of an instance in an hour (spec 14 §5.2).

Subscription Watch takes the newest value of an hour of an instance and books the difference itself:
a correction is the same message with another value, and what was told wrongly has the value 0. So
what was told is remembered, before it is sent: an hour that may have arrived is corrected as one
that has. Only images whose product certificates include Extended Life Cycle Support (204) are told;
plain RHEL is not accepted there.
"""

import datetime
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from django.db import connection
from django.db.models import QuerySet

from api.billing.classes import BillingClass
from api.billing.stretches import STRETCHES
from api.models import PublishedHours, User
from api.push.claims import Claim, Outgoing, lease, settle

PRODUCT = 204
"""Extended Life Cycle Support for RHEL."""
TAG = "rhel-for-x86-els-payg"
TAG_WITHOUT_CONVERSION = f"{TAG}-addon"

METRIC = "vCPUs"
NAMESPACE = uuid.UUID("2b7b38f0-9d34-5c2f-8a0a-6d2f2f5f1f0e")
"""Of the ids of events."""

ROLES = frozenset(
    f"Red Hat Enterprise Linux {kind}" for kind in ("Server", "Workstation", "Compute Node")
)
SLAS = frozenset(("Premium", "Standard", "Self-Support"))
USAGES = frozenset(("Production", "Development/Test", "Disaster Recovery"))
PROVIDERS = {"aws": "AWS", "azure": "Azure"}

HOUR = datetime.timedelta(hours=1)
MESSAGES_AT_ONCE = 20_000
ROWS_AT_ONCE = 5000

_RUNNING = rf"""
WITH {STRETCHES}, product AS MATERIALIZED (
    SELECT image.id, image.role, image.sla, image.usage, ARRAY(
        SELECT DISTINCT number::bigint
        FROM regexp_matches(
                image.inspection_json, '"product_ids"\s*:\s*\[([0-9,\s]*)\]', 'g') AS found,
             regexp_split_to_table(found[1], '[,\s]+') AS number
        WHERE number <> '' AND length(number) < 18
        ORDER BY 1) AS numbers
    FROM api_machineimage image
    WHERE image.id IN (SELECT machine_image_id FROM billed WHERE counted)
)
SELECT instance.cloud_instance_id, account.cloud_type,
       coalesce(account.aws_account_id, account.subscription_id::text),
       product.role, product.sla, product.usage, product.numbers,
       billed.billing, billed.vcpu, billed.since, billed.until
FROM billed
JOIN product ON product.id = billed.machine_image_id AND {PRODUCT} = ANY(product.numbers)
JOIN api_instance instance ON instance.id = billed.instance_id
JOIN api_cloudaccount account ON account.id = billed.cloud_account_id
WHERE billed.counted AND billed.vcpu IS NOT NULL AND billed.since < %(limit)s
  AND (billed.until IS NULL OR billed.until >= %(begin)s)
ORDER BY instance.cloud_instance_id, billed.since
"""  # noqa: S608 - made of constants

_STORE = """
INSERT INTO api_publishedhours (user_id, date, instance_id, hours, facts)
SELECT * FROM unnest(%s::bigint[], %s::date[], %s::text[], %s::jsonb[], %s::jsonb[])
ON CONFLICT (user_id, date, instance_id) DO UPDATE
SET hours = EXCLUDED.hours, facts = EXCLUDED.facts
"""


class _Running(NamedTuple):
    """A part of a run of an instance that is told."""

    instance_id: str
    cloud_type: str
    account_number: str
    role: str
    sla: str
    usage: str
    products: list[int]
    billing: str
    vcpu: int
    since: datetime.datetime
    until: datetime.datetime | None

    def is_on(self, hour: datetime.datetime) -> bool:
        """Return whether it touches an hour."""
        if self.until == self.since:
            return hour <= self.since < hour + HOUR
        return self.since < hour + HOUR and (self.until is None or self.until > hour)

    def facts(self, org_id: str) -> dict[str, Any]:
        """Return what a message tells beside hour and value."""
        provider = PROVIDERS[self.cloud_type]
        is_own = self.billing != BillingClass.CLOUD
        return {
            "event_source": "cloudigrade",
            "event_type": f"snapshot_{TAG_WITHOUT_CONVERSION}_vcpus",
            "service_type": "RHEL System",
            "org_id": org_id,
            "instance_id": self.instance_id,
            "display_name": self.instance_id,
            "cloud_provider": provider,
            "hardware_type": "Cloud",
            "product_ids": [str(number) for number in self.products],
            "role": self.role if self.role in ROLES else "",
            "sla": self.sla if self.sla in SLAS else "",
            "usage": self.usage if self.usage in USAGES else "",
            "billing_provider": "red hat" if is_own else provider.lower(),
            "billing_account_id": self.account_number,
            "conversion": False,
        }


@dataclass
class _Told:
    """What Subscription Watch has been told, or may have been, of an instance's hours of a day.

    Of each hour the vCPUs, and whether the broker has confirmed them.
    """

    instance_id: str
    hours: list[list[Any] | None] = field(default_factory=lambda: [None] * 24)
    facts: dict[str, Any] = field(default_factory=dict)

    def changes(self, wanted: Sequence[int]) -> list[int]:
        """Note what is about to be told, and return the hours of which that is something new."""
        changed = []
        for hour, value in enumerate(wanted):
            known = self.hours[hour]
            if known != [value, True] and (known is not None or value):
                self.hours[hour] = [value, False]
                changed.append(hour)
        return changed


@dataclass(frozen=True)
class HourMessage(Outgoing):
    """A message to Subscription Watch."""

    told: _Told = field(default_factory=lambda: _Told(""))
    hour: int = 0


def prepare(claims: Sequence[Claim]) -> list[HourMessage]:
    """Make the messages of entries, and lease those; to be called in the claims' transaction.

    What is more than 20,000 messages waits for the next time.
    """
    outgoing: list[HourMessage] = []
    silent: list[tuple[Claim, datetime.datetime | None]] = []
    for claim in claims:
        if len(outgoing) >= MESSAGES_AT_ONCE:
            break
        made, next_due = _messages(claim)
        outgoing += made
        if not made:
            silent.append((claim, next_due))
    settle(silent)
    lease(one.claim for one in outgoing)
    return outgoing


def acknowledge(sent: Iterable[HourMessage], lost: Iterable[HourMessage]) -> None:
    """Note which messages the broker has, and take entries that it has all of out of the outbox."""
    failed = {one.claim.id for one in lost}
    told: dict[tuple[int, str], tuple[Claim, _Told]] = {}
    by_id: dict[int, HourMessage] = {}
    for one in sent:
        value, _ = one.told.hours[one.hour] or (0, False)
        one.told.hours[one.hour] = [value, True]
        told[one.claim.id, one.told.instance_id] = one.claim, one.told
        by_id[one.claim.id] = one
    _store(told.values())
    complete = [one for one in by_id.values() if one.claim.id not in failed]
    for one in complete:
        if one.claim.withdrawn is not None:
            _of_day(one.claim).delete()
    settle((one.claim, one.next_due) for one in complete)


def _messages(claim: Claim) -> tuple[list[HourMessage], datetime.datetime | None]:
    """Return a day's messages, and when it has to be looked at again in any case."""
    org_id = None if claim.withdrawn else _org_id(claim.user_id)
    running = _by_instance(claim) if org_id else {}
    known = {
        row.instance_id: _Told(row.instance_id, row.hours, row.facts) for row in _of_day(claim)
    }
    batch = str(uuid.uuid4())
    changed: list[tuple[_Told, int]] = []
    for instance_id in sorted(running.keys() | known.keys()):
        told = known.get(instance_id) or _Told(instance_id)
        parts = running.get(instance_id, [])
        if parts:
            told.facts = parts[-1].facts(org_id or "")
        changed += [(told, hour) for hour in told.changes(_values(claim, parts))]
        if len(changed) >= MESSAGES_AT_ONCE:
            break
    _store((claim, told) for told in {id(told): told for told, _ in changed}.values())
    if len(changed) >= MESSAGES_AT_ONCE:
        next_due: datetime.datetime | None = claim.now
    else:
        next_due = _next_hour(claim) if running and not claim.is_of_past_day else None
    made = [
        HourMessage(
            claim, told.facts["org_id"], _event(claim, told, hour, batch), next_due, told, hour
        )
        for told, hour in changed
    ]
    return made, next_due


def _values(claim: Claim, parts: Sequence[_Running]) -> list[int]:
    """Return the vCPUs of each hour that has begun."""
    begun = [_hour(claim, number) for number in range(24) if _hour(claim, number) <= claim.now]
    return [max((part.vcpu for part in parts if part.is_on(hour)), default=0) for hour in begun]


def _event(claim: Claim, told: _Told, number: int, batch: str) -> bytes:
    hour = _hour(claim, number)
    org_id = told.facts["org_id"]
    value, _ = told.hours[number] or (0, False)
    name = f"{org_id}:{told.instance_id}:{hour:%Y-%m-%dT%H:%M:%SZ}:{METRIC}"
    return msgspec.json.encode(
        {
            "event_id": str(uuid.uuid5(NAMESPACE, name)),
            **told.facts,
            "timestamp": hour,
            "expiration": hour + HOUR,
            "measurements": [{"metric_id": METRIC, "value": float(value)}],
            "metering_batch_id": batch,
        }
    )


def _hour(claim: Claim, number: int) -> datetime.datetime:
    midnight = datetime.datetime.combine(claim.date, datetime.time(), datetime.UTC)
    return midnight + number * HOUR


def _next_hour(claim: Claim) -> datetime.datetime:
    return claim.now.replace(minute=0, second=0, microsecond=0) + HOUR


def _org_id(user_id: int) -> str | None:
    return User.objects.filter(id=user_id).values_list("org_id", flat=True).first()


def _by_instance(claim: Claim) -> dict[str, list[_Running]]:
    found: dict[str, list[_Running]] = {}
    for running in _running(claim):
        found.setdefault(running.instance_id, []).append(running)
    return found


def _running(claim: Claim) -> Iterator[_Running]:
    begin = _hour(claim, 0)
    with connection.cursor() as cursor:
        cursor.execute(_RUNNING, {"user": claim.user_id, "begin": begin, "limit": _hour(claim, 24)})
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield from map(_Running._make, rows)


def _of_day(claim: Claim) -> QuerySet[PublishedHours]:
    return PublishedHours.objects.filter(user_id=claim.user_id, date=claim.date)


def _store(told: Iterable[tuple[Claim, _Told]]) -> None:
    rows = [
        (
            claim.user_id,
            claim.date,
            one.instance_id,
            msgspec.json.encode(one.hours).decode(),
            msgspec.json.encode(one.facts).decode(),
        )
        for claim, one in told
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_STORE, [list(column) for column in zip(*rows, strict=True)])
