"""Which of the things that logs tell are for us: those of accounts that are metered (spec 04 §8.5).

Pure: it is asked again under the users' locks, with what the accounts have become meanwhile.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.clouds.aws.cloudtrail.records import Log, Sighting, Skip, TagChange, UnreadRecord
from api.clouds.aws.selectors import Account


@dataclass(slots=True)
class Admitted:
    """What of a file is for us. Each record is relevant, or counted in ``skipped``.

    ``unseen`` are sightings of instances that we are to know, whose events are not to count.
    ``unread`` are the accounts that have to be described, since records that were skipped do not
    name the instances that they are about (decision 46).
    """

    sightings: list[tuple[Account, Sighting]] = field(default_factory=list)
    unseen: list[tuple[Account, Sighting]] = field(default_factory=list)
    tag_changes: list[tuple[Account, TagChange]] = field(default_factory=list)
    unread: set[Account] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    relevant: int = 0

    def __bool__(self) -> bool:
        """Tell whether there is anything to store."""
        return bool(self.sightings or self.unseen or self.tag_changes)

    @property
    def mentions(self) -> list[tuple[Account, Sighting]]:
        """All sightings, whether their events count or not."""
        return self.sightings + self.unseen

    @property
    def accounts(self) -> set[Account]:
        """The accounts that it is for."""
        return {account for account, _ in self.mentions} | {
            account for account, _ in self.tag_changes
        }


def admit(log: Log, accounts: Mapping[str, Account]) -> Admitted:
    """Select what a log tells of accounts that were metered at the time."""
    admitted = Admitted(skipped=Counter(log.skipped))
    reasons: dict[int, Skip] = {}
    relevant: set[int] = set()
    for sighting in log.sightings:
        account = _metered(accounts, sighting)
        if isinstance(account, Skip):
            reasons[sighting.place] = account
        elif sighting.occurred_at < account.created_at:
            reasons[sighting.place] = Skip.BEFORE_CREATED
            admitted.unseen.append((account, sighting))
        else:
            relevant.add(sighting.place)
            admitted.sightings.append((account, sighting))
    for change in log.tag_changes:
        account = _metered(accounts, change)
        if isinstance(account, Skip):
            reasons[change.place] = account
        else:
            relevant.add(change.place)
            admitted.tag_changes.append((account, change))
    for record in log.unread:
        account = _metered(accounts, record)
        if not isinstance(account, Skip):
            admitted.unread.add(account)
    admitted.skipped.update(reasons.values())
    admitted.relevant = len(relevant)
    return admitted


def _metered(
    accounts: Mapping[str, Account], thing: Sighting | TagChange | UnreadRecord
) -> Account | Skip:
    account = accounts.get(thing.account_id)
    if account is None:
        return Skip.UNKNOWN_ACCOUNT
    if not account.is_enabled:
        return Skip.DISABLED
    if account.is_paused:
        return Skip.PAUSED
    if account.enabled_at is None or account.enabled_at > thing.occurred_at:
        return Skip.BEFORE_ENABLED
    return account
