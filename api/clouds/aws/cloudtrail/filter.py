"""Which of the things that logs tell are for us: those of accounts that are metered (spec 04 §8.5).

It is asked again under the users' locks, with what the accounts have become meanwhile.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from api.clouds.aws.cloudtrail.read import LogFile
from api.clouds.aws.cloudtrail.records import InstanceRecord, Log, Skip, TagChange, UnreadRecord
from api.clouds.aws.metered_times import metered_spans
from api.clouds.aws.provisioning.queues import Message
from api.clouds.aws.selectors import Account, load_accounts
from api.clouds.aws.spans import MeteredSpan, contain

Metered = Mapping[int, Sequence[MeteredSpan]]
"""When accounts were metered, by their ids."""


@dataclass(slots=True)
class RelevantRecords:
    """The relevant records of a file; all others are counted in ``skipped``.

    ``before_registration`` are records of instances that become known, but whose events do not
    count, since they happened before the account was registered.
    ``unread`` are the accounts that have to be described, since records that were skipped do not
    name what they are about (decision 46); ``unread_tags`` those whose tags changed without our
    being told which, with the time of the newest change.
    """

    instance_records: list[tuple[Account, InstanceRecord]] = field(default_factory=list)
    before_registration: list[tuple[Account, InstanceRecord]] = field(default_factory=list)
    tag_changes: list[tuple[Account, TagChange]] = field(default_factory=list)
    unread: set[Account] = field(default_factory=set)
    unread_tags: dict[Account, datetime] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    relevant_count: int = 0

    def __bool__(self) -> bool:
        """Return whether there is anything to store."""
        return bool(self.instance_records or self.before_registration or self.tag_changes)

    @property
    def all_records(self) -> list[tuple[Account, InstanceRecord]]:
        """All instance records, whether their events count or not."""
        return self.instance_records + self.before_registration

    @property
    def accounts(self) -> set[Account]:
        """The accounts that it is for."""
        named = {account for account, _ in [*self.all_records, *self.tag_changes]}
        return named | self.unread_tags.keys()


@dataclass(slots=True)
class FileResult:
    """A file, the first message that announced it, and which of its records are relevant."""

    file: LogFile
    message: Message
    relevant: RelevantRecords = field(default_factory=RelevantRecords)
    object_id: int | None = None
    stored: int = 0
    counted: int = 0
    """How many of the stored events the file had not stored before."""

    @property
    def user_ids(self) -> set[int]:
        """The users whose accounts it is for."""
        return {account.user_id for account in self.relevant.accounts}

    @property
    def event_times(self) -> list[datetime]:
        """When the things happened that are for us."""
        return [one.occurred_at for _, one in self.relevant.instance_records] + [
            one.occurred_at for _, one in self.relevant.tag_changes
        ]


def select_from_files(file_results: Sequence[FileResult]) -> dict[int, Account]:
    """Note in the result of each file what is for us; return all accounts that they mention, by id.

    A replayed file is judged by when its accounts were metered (spec 10 §3, acceptance 4).
    """
    logs = [(one, one.file.log) for one in file_results if one.file.log]
    accounts = load_accounts(account_id for _, log in logs for account_id in log.account_ids)
    is_replay = any(one.file.is_replayed for one, _ in logs)
    metered = metered_spans(accounts.values()) if is_replay else None
    for one, log in logs:
        one.relevant = select_relevant(log, accounts, metered if one.file.is_replayed else None)
    return {account.id: account for account in accounts.values()}


def select_relevant(
    log: Log, accounts: Mapping[str, Account], metered: Metered | None = None
) -> RelevantRecords:
    """Select what a log tells of accounts that were metered at the time.

    Without ``metered``, which has the times by the accounts' ids, that is seen by what the accounts
    are now (spec 04 §8.5).
    """
    relevant = RelevantRecords(skipped=Counter(log.skipped))
    reasons: dict[int, Skip] = {}
    relevant_indexes: set[int] = set()
    for instance_record in log.instance_records:
        account = _metered(accounts, instance_record, metered)
        if isinstance(account, Skip):
            reasons[instance_record.record_index] = account
        elif instance_record.occurred_at < account.created_at:
            reasons[instance_record.record_index] = Skip.BEFORE_CREATED
            relevant.before_registration.append((account, instance_record))
        else:
            relevant_indexes.add(instance_record.record_index)
            relevant.instance_records.append((account, instance_record))
    for change in log.tag_changes:
        account = _metered(accounts, change, metered)
        if isinstance(account, Skip):
            reasons[change.record_index] = account
        else:
            relevant_indexes.add(change.record_index)
            relevant.tag_changes.append((account, change))
    for record in log.unread:
        account = _metered(accounts, record, metered)
        if isinstance(account, Skip):
            continue
        relevant.unread.add(account)
        if record.is_tag_change:
            newest = relevant.unread_tags.get(account, record.occurred_at)
            relevant.unread_tags[account] = max(newest, record.occurred_at)
    relevant.skipped.update(reasons.values())
    relevant.relevant_count = len(relevant_indexes)
    return relevant


def _metered(
    accounts: Mapping[str, Account],
    thing: InstanceRecord | TagChange | UnreadRecord,
    metered: Metered | None,
) -> Account | Skip:
    account = accounts.get(thing.account_id)
    if account is None:
        return Skip.UNKNOWN_ACCOUNT
    if metered is not None:
        was_metered = contain(metered.get(account.id, ()), thing.occurred_at)
        return account if was_metered else Skip.DISABLED
    if not account.is_enabled:
        return Skip.DISABLED
    if account.is_paused:
        return Skip.PAUSED
    if account.enabled_at is None or account.enabled_at > thing.occurred_at:
        return Skip.BEFORE_ENABLED
    return account
