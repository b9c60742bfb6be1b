"""When accounts were metered, as the log of their states tells (spec 09 P9, 10 §3 acceptance 4)."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from api.clouds.aws.selectors import Account
from api.clouds.aws.spans import MeteredSpan, merge
from api.models import AccountState

FOREVER = datetime.max.replace(tzinfo=UTC)

_ON = AccountState.Change.ENABLED
_OFF = (
    AccountState.Change.DISABLED,
    AccountState.Change.PAUSED,
    AccountState.Change.DELETED,
)


def metered_spans(accounts: Iterable[Account]) -> dict[int, list[MeteredSpan]]:
    """Return when each account was metered, by the accounts' ids; in one statement."""
    wanted = {account.id: account for account in accounts}
    if not wanted:
        return {}
    changes: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    rows = AccountState.objects.filter(account_id__in=wanted, to_state__in=[_ON, *_OFF])
    for account_id, at, state in rows.order_by("at", "id").values_list(
        "account_id", "at", "to_state"
    ):
        changes[account_id].append((at, state))
    return {id_: spans_of(account, changes[id_]) for id_, account in wanted.items()}


def spans_of(account: Account, changes: Iterable[tuple[datetime, str]]) -> list[MeteredSpan]:
    """Return when an account was metered; pure. ``enabled_at`` is when it was enabled last."""
    spans: list[MeteredSpan] = []
    since: datetime | None = None
    for at, state in changes:
        if state == _ON:
            since = since or at
        elif since is not None:
            spans.append(MeteredSpan(since, at))
            since = None
    if account.enabled_at is None:
        return merge(spans)
    if account.is_enabled and not account.is_paused:
        spans.append(MeteredSpan(account.enabled_at, FOREVER))
    elif spans and account.enabled_at < spans[-1].end:
        spans[-1] = MeteredSpan(account.enabled_at, spans[-1].end)
    return merge(spans)
