"""What we remember, one concept a file. Times are UTC."""

from api.models.account import AccountState, CloudAccount
from api.models.audit import AuditedDay, AuditFinding
from api.models.audit_entry import AuditEntry
from api.models.base import CloudType
from api.models.billing import BillingFinding, Registration, UploadedRegistration
from api.models.coverage import CoverageDay
from api.models.definition import InstanceDefinition
from api.models.export import ExportJob
from api.models.fleet import FleetSample
from api.models.image import ImageFact, InspectionAttempt, MachineImage, SnapshotShare
from api.models.image_tags import ImageTags
from api.models.inbox import InboxMessage
from api.models.instance import Instance, InstanceEvent, InstanceFact
from api.models.outbox import OutboxEntry
from api.models.push import PublishedHours, PublishedUsage, Topic, UsageOutboxEntry
from api.models.records import Correction, DescribeRun, IngestHour, IngestObject, TrailDigest
from api.models.replay import LogReplay
from api.models.run import Run
from api.models.set_aside import SetAsideTask
from api.models.synthetic import SyntheticDataRequest
from api.models.usage import Cause, ConcurrentUsage, StaleUsage, UsageRevision
from api.models.user import User, UserTaskLock

__all__ = [
    "AccountState",
    "AuditEntry",
    "AuditFinding",
    "AuditedDay",
    "BillingFinding",
    "Cause",
    "CloudAccount",
    "CloudType",
    "ConcurrentUsage",
    "Correction",
    "CoverageDay",
    "DescribeRun",
    "ExportJob",
    "FleetSample",
    "ImageFact",
    "ImageTags",
    "InboxMessage",
    "IngestHour",
    "IngestObject",
    "InspectionAttempt",
    "Instance",
    "InstanceDefinition",
    "InstanceEvent",
    "InstanceFact",
    "LogReplay",
    "MachineImage",
    "OutboxEntry",
    "PublishedHours",
    "PublishedUsage",
    "Registration",
    "Run",
    "SetAsideTask",
    "SnapshotShare",
    "StaleUsage",
    "SyntheticDataRequest",
    "Topic",
    "TrailDigest",
    "UploadedRegistration",
    "UsageOutboxEntry",
    "UsageRevision",
    "User",
    "UserTaskLock",
]
