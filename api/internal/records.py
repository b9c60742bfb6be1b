"""Read-only resources about our own work: what waits, what was read, what changed (spec 12 §2).

None is named by the root. All can be filtered by age as ``created_at``, whatever the column is
called, and by the customer and the account that they are about, if any. What may hold customers'
credentials is not shown: the messages themselves, results of inspections, tasks' secret arguments.
"""

from typing import Any

from django.db.models import Model
from django_filters.rest_framework import Filter
from rest_framework import serializers

from api import set_aside
from api.internal import fields, filters
from api.internal.browse import BrowsableResource
from api.models import (
    AccountState,
    Cause,
    CloudAccount,
    CloudType,
    Correction,
    DescribeRun,
    ImageFact,
    InboxMessage,
    IngestHour,
    IngestObject,
    InspectionAttempt,
    InstanceFact,
    StaleUsage,
    TrailDigest,
    UsageRevision,
    User,
)
from util.redaction import redact, redact_all


class RedactedText(serializers.CharField):
    """Text of an error, without what is secret."""

    def to_representation(self, value: str) -> str:
        """Mask secrets."""
        return redact(super().to_representation(value))


class RedactedJSON(fields.AnyJSONField):
    """A structure whose texts are shown without what is secret."""

    def to_representation(self, value: Any) -> Any:
        """Mask secrets."""
        return redact_all(super().to_representation(value))


def _json(**options: Any) -> fields.AnyJSONField:
    return fields.AnyJSONField(read_only=True, **options)


def _error(**options: Any) -> RedactedText:
    return RedactedText(read_only=True, **options)


def _moments(*names: str) -> dict[str, serializers.Field]:
    return {name: fields.moment(allow_null=True) for name in names}


def _integers(*names: str) -> dict[str, serializers.Field]:
    return {name: fields.integer() for name in names}


def _aged(name: str, *others: str) -> dict[str, Filter]:
    """Filter by the column that tells a row's age, as ``created_at`` too, and by other times."""
    return {**filters.moments(name, *others), **filters.moments("created_at", column=name)}


def _customer(user: str) -> dict[str, Filter]:
    """Filter by the customer behind the row; ``user`` leads there."""
    return {**filters.identity(user), "user_id": filters.whole_number(f"{user}_id")}


def _account(account: str = "cloud_account") -> dict[str, Filter]:
    """Filter by the account behind the row and its customer; ``account`` leads there."""
    account_id = {"account_id": filters.whole_number(f"{account}_id")}
    return {**account_id, **_customer(f"{account}__user")}


def _numbered_account() -> dict[str, Filter]:
    """Filter rows that know their account by AWS's number alone; it may be known no more."""
    accounts = CloudAccount.objects.filter(cloud_type=CloudType.AWS)
    through = filters.Through("aws_account_id", accounts, "aws_account_id")
    return {
        "aws_account_id": filters.aws_account_id("aws_account_id"),
        "account_id": filters.WholeNumberThrough(through, "id"),
        "user_id": filters.WholeNumberThrough(through, "user_id"),
        "org_id": filters.TextThrough(through, "user__org_id"),
        "account_number": filters.TextThrough(through, "user__account_number"),
        "region": filters.text("region"),
    }


def _records(name: str, model: type[Model], **declared: Any) -> BrowsableResource:
    """Declare all rows of a model, which the root does not name; few have both timestamps."""
    return BrowsableResource(
        name=name,
        model=model.__name__,
        rows=model._default_manager.all,
        in_root=False,
        **{"timestamped": False, **declared},
    )


INBOX_MESSAGES = _records(
    "inboxmessages",
    InboxMessage,
    fields={
        "topic": fields.text(),
        **_integers("partition", "offset"),
        "event_type": fields.text(),
        "customer_key": fields.text(),
        "account_number": fields.text(allow_null=True),
        "org_id": fields.text(allow_null=True),
        "application_id": fields.integer(allow_null=True),
        "authentication_id": fields.integer(allow_null=True),
        "state": fields.choice(InboxMessage.State.choices),
        "attempts": fields.integer(),
        "reason": _error(),
        "received_at": fields.moment(),
        **_moments("written_at", "not_before", "queued_at", "lease_until"),
        **_moments("missing_since", "revived_at", "finished_at"),
    },
    filters={
        "state": filters.choice("state", InboxMessage.State.choices),
        "event_type": filters.text("event_type"),
        "topic": filters.text("topic"),
        "partition": filters.whole_number("partition", filters.INTEGER_END),
        "message_offset": filters.whole_number("offset"),
        "attempts": filters.whole_number("attempts", filters.INTEGER_END),
        "customer_key": filters.text("customer_key"),
        "application_id": filters.whole_number("application_id"),
        "authentication_id": filters.whole_number("authentication_id"),
        "account_number": filters.text("account_number"),
        "org_id": filters.text("org_id"),
        "user_id": filters.UserOfMessage(),
        **_aged("received_at", "finished_at", "revived_at"),
    },
)
"""``offset`` alone is what the page begins after (02 §2.1)."""

OUTBOX_STATES = [(state, state) for state in set_aside.OUTBOX_STATES]

OUTBOX_ENTRIES = BrowsableResource(
    name="outboxentries",
    model="OutboxEntry",
    rows=set_aside.outbox_entries,
    timestamped=False,
    in_root=False,
    ordered_by=("issued_at", "key"),
    fields={
        "id": fields.text(source="key"),
        "task": fields.text(),
        "args": RedactedJSON(read_only=True),
        "state": fields.choice(OUTBOX_STATES),
        "attempts": fields.integer(),
        "last_error": _error(),
        "created_at": fields.moment(source="issued_at"),
        "queued_at": fields.moment(),
        "done_at": fields.moment(allow_null=True),
    },
    filters={
        "id": filters.text("key"),
        "task": filters.text("task"),
        "state": filters.choice("state", OUTBOX_STATES),
        "attempts": filters.whole_number("attempts", filters.INTEGER_END),
        **filters.moments("queued_at", "done_at"),
        **filters.moments("created_at", column="issued_at"),
    },
)

STALE_USAGES = _records(
    "staleusages",
    StaleUsage,
    fields={
        "user": fields.reference("user"),
        "first_day": serializers.DateField(read_only=True),
        "last_day": serializers.DateField(read_only=True, allow_null=True),
        "cause": fields.choice(Cause.choices),
        "refs": _json(),
        "marked_at": fields.moment(),
    },
    filters={
        **filters.days("first_day"),
        **filters.days("last_day"),
        "cause": filters.choice("cause", Cause.choices),
        **_customer("user"),
        **_aged("marked_at"),
    },
)

USAGE_REVISIONS = _records(
    "usagerevisions",
    UsageRevision,
    fields={
        "user": fields.reference("user"),
        "date": serializers.DateField(read_only=True),
        **_integers("revision", "total_before", "total_after"),
        "computed_at": fields.moment(),
        "changed_keys": _json(),
        "changed_key_count": fields.integer(allow_null=True),
        "causes": _json(),
        "refs": _json(),
    },
    filters={
        **filters.days("date"),
        "revision": filters.whole_number("revision", filters.INTEGER_END),
        **_customer("user"),
        **_aged("computed_at"),
    },
)

DESCRIBE_RUNS = _records(
    "describeruns",
    DescribeRun,
    fields={
        "cloud_account": fields.reference("cloud_account"),
        "region": fields.text(allow_null=True),
        "kind": fields.choice(DescribeRun.Kind.choices),
        "started_at": fields.moment(),
        "finished_at": fields.moment(allow_null=True),
        "outcome": fields.choice(DescribeRun.Outcome.choices),
        "error_code": _error(),
        **_integers("listed", "running"),
        "unreadable": _json(allow_null=True),
    },
    filters={
        "region": filters.text("region"),
        "kind": filters.choice("kind", DescribeRun.Kind.choices),
        "outcome": filters.choice("outcome", DescribeRun.Outcome.choices),
        "error_code": filters.text("error_code"),
        **_account(),
        **_aged("started_at", "finished_at"),
    },
)

CORRECTIONS = _records(
    "corrections",
    Correction,
    fields={
        "cloud_account": fields.reference("cloud_account"),
        "instance": fields.reference("instance"),
        "kind": fields.choice(Correction.Kind.choices),
        **_moments("unsure_from", "unsure_to"),
        "event_id": fields.integer(allow_null=True),
        "describe_run": fields.reference("describe_run", allow_null=True),
        "explained_by": fields.integer(allow_null=True),
    },
    filters={
        "kind": filters.choice("kind", Correction.Kind.choices),
        "instance_id": filters.whole_number("instance_id"),
        "event_id": filters.whole_number("event_id"),
        "is_explained": filters.given("explained_by"),
        **_account(),
        **_aged("unsure_to", "unsure_from"),
    },
)

INGEST_OBJECTS = _records(
    "ingestobjects",
    IngestObject,
    fields={
        **{name: fields.text() for name in ("bucket", "key", "etag", "aws_account_id", "region")},
        "size": fields.integer(allow_null=True),
        "outcome": fields.choice(IngestObject.Outcome.choices),
        **_integers("records", "relevant", "stored", "attempts"),
        **_moments("delivered_at", "announced_at", "enqueued_at"),
        "processed_at": fields.moment(),
        **_moments("oldest_event_at", "newest_event_at"),
        "code_version": fields.text(),
    },
    filters={
        "bucket": filters.text("bucket"),
        "key": filters.text("key"),
        "outcome": filters.choice("outcome", IngestObject.Outcome.choices),
        **_numbered_account(),
        **_aged("processed_at", "delivered_at"),
    },
)

INGEST_HOURS = _records(
    "ingesthours",
    IngestHour,
    fields={
        "aws_account_id": fields.text(),
        "region": fields.text(),
        "hour": fields.moment(),
        **_integers("files", "records", "relevant", "stored", "duplicates"),
        "skipped": _json(),
        "newest_event_at": fields.moment(allow_null=True),
        "largest_event_age": fields.number(allow_null=True),
        "largest_queue_wait": fields.number(allow_null=True),
    },
    filters={**_numbered_account(), **_aged("hour")},
)

INSPECTION_ATTEMPTS = _records(
    "inspectionattempts",
    InspectionAttempt,
    timestamped=True,
    fields={
        "machine_image": fields.reference("machine_image"),
        "region": fields.text(),
        **{
            name: fields.text()
            for name in (
                "copied_ami_id",
                "customer_snapshot_id",
                "snapshot_copy_id",
                "inspector_instance_id",
            )
        },
        **_moments("share_removed_at", "snapshot_deleted_at"),
        "counts": fields.boolean(),
        "outcome": fields.text(),
        "error": _error(),
        "finished_at": fields.moment(allow_null=True),
        "producer_name": fields.text(),
        "producer_version": fields.text(),
    },
    filters={
        "machine_image_id": filters.whole_number("machine_image_id"),
        "outcome": filters.text("outcome"),
        "is_finished": filters.given("finished_at"),
        "region": filters.text("region"),
        **filters.times(),
        **filters.moments("finished_at"),
    },
)


def _plain_customer(column: str) -> dict[str, Filter]:
    """Filter rows that outlive their customer, whose id is all they know."""
    through = filters.Through(column, User.objects.all(), "id")
    return {
        "user_id": filters.whole_number(column),
        "org_id": filters.TextThrough(through, "org_id"),
        "account_number": filters.TextThrough(through, "account_number"),
    }


ACCOUNT_STATES = _records(
    "accountstates",
    AccountState,
    fields={
        **_integers("account_id", "user_id"),
        "cloud_type": fields.choice(CloudType.choices),
        "cloud_account_number": fields.text(),
        "at": fields.moment(),
        "from_state": fields.text(),
        "to_state": fields.choice(AccountState.Change.choices),
        "code": fields.text(),
        "cause": fields.choice(AccountState.Cause.choices),
        "topic": fields.text(),
        "partition": fields.integer(allow_null=True),
        "offset": fields.integer(allow_null=True),
    },
    filters={
        "account_id": filters.whole_number("account_id"),
        "cloud_type": filters.choice("cloud_type", CloudType.choices),
        "cloud_account_number": filters.text("cloud_account_number"),
        "from_state": filters.text("from_state"),
        "to_state": filters.choice("to_state", AccountState.Change.choices),
        "state": filters.choice("to_state", AccountState.Change.choices),
        "code": filters.text("code"),
        "cause": filters.choice("cause", AccountState.Cause.choices),
        **_plain_customer("user_id"),
        **_aged("at"),
    },
)

IMAGE_FACTS = _records(
    "imagefacts",
    ImageFact,
    large="evidence",
    fields={
        "machine_image": fields.reference("machine_image"),
        "user": fields.reference("user", allow_null=True),
        "valid_from": fields.moment(),
        "is_rhel": fields.boolean(),
        "architecture": fields.text(allow_null=True),
        **{name: fields.text() for name in ("role", "sla", "usage", "service_type")},
        "rhel_version": fields.text(allow_null=True),
        "reason": fields.choice(ImageFact.Reason.choices),
        "ref": fields.text(),
        "evidence": _json(),
    },
    filters={
        "machine_image_id": filters.whole_number("machine_image_id"),
        "is_rhel": filters.boolean("is_rhel"),
        "reason": filters.choice("reason", ImageFact.Reason.choices),
        **_customer("user"),
        **_aged("valid_from"),
    },
)

INSTANCE_FACTS = _records(
    "instancefacts",
    InstanceFact,
    fields={
        "instance": fields.reference("instance"),
        "observed_at": fields.moment(),
        "source": fields.text(),
        **{
            name: fields.text(allow_null=True)
            for name in ("instance_type", "usage_operation", "platform_details")
        },
        **{name: _json(allow_null=True) for name in ("product_codes", "licenses")},
        **{name: fields.text(allow_null=True) for name in ("lifecycle", "tenancy", "zone")},
        **{name: fields.integer(allow_null=True) for name in ("cpu_cores", "threads_per_core")},
        "image": _json(allow_null=True),
    },
    filters={
        "instance_id": filters.whole_number("instance_id"),
        "source": filters.text("source"),
        "instance_type": filters.text("instance_type"),
        **_account("instance__cloud_account"),
        **_aged("observed_at"),
        **filters.moments("valid_from", column="observed_at"),
    },
)

TRAILS = _records(
    "trails",
    TrailDigest,
    large="file_names",
    fields={
        **{name: fields.text() for name in ("aws_account_id", "region", "bucket", "key")},
        **{name: fields.moment() for name in ("start", "end")},
        "previous_key": fields.text(),
        "file_names": _json(),
    },
    filters={
        "bucket": filters.text("bucket"),
        "key": filters.text("key"),
        **_numbered_account(),
        **_aged("end", "start"),
    },
)

RESOURCES = (
    INBOX_MESSAGES,
    OUTBOX_ENTRIES,
    STALE_USAGES,
    USAGE_REVISIONS,
    DESCRIBE_RUNS,
    CORRECTIONS,
    INGEST_OBJECTS,
    INGEST_HOURS,
    INSPECTION_ATTEMPTS,
    ACCOUNT_STATES,
    IMAGE_FACTS,
    INSTANCE_FACTS,
    TRAILS,
)
