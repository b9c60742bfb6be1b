"""Whose message is it? One customer has one queue in the inbox (decision 40).

A message carries an account number, an org id, or both. Both lead to the same queue as soon as
anything ties them together: a user who has both, or a message that has both and still waits. As
everywhere, the account number decides where the two belong to different customers (decisions 8 and
26); the org id of such a message ties nothing.
"""

from collections.abc import Iterable, Iterator

from django.db import connection
from django.db.models import Q

from api.models import InboxMessage, User
from api.models.inbox import UNFINISHED
from api.sources.messages import Tenant
from util.locks import lock

QUEUES = "inbox-queue"
"""Namespace of the locks of queues: who holds a queue's lock may claim its messages or move them.
"""

_JOIN_QUEUES = """
UPDATE api_inboxmessage message
SET customer_key = tie.account_key, account_number = tie.account_number, org_id = tie.org_id
FROM unnest(%(org_keys)s::text[], %(account_keys)s::text[], %(account_numbers)s::text[],
            %(org_ids)s::text[])
     AS tie (org_key, account_key, account_number, org_id)
WHERE message.customer_key = tie.org_key
  AND message.state IN ('waiting', 'working', 'handed_on', 'failed')
"""


def queue_of(tenant: Tenant, partition: int) -> str:
    """Return the name of the queue of a customer, completed by ``Customers``.

    Messages without a customer, which come to nothing, wait in one queue for each partition.
    """
    if tenant.account_number:
        return _account_queue(tenant.account_number)
    return _org_queue(tenant.org_id) if tenant.org_id else f"partition {partition}"


class Customers:
    """What ties the account numbers and org ids of some messages together, in their order."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        wanted = set(tenants)
        account_numbers = {one.account_number for one in wanted if one.account_number}
        org_ids = {one.org_id for one in wanted if one.org_id}
        either = Q(account_number__in=account_numbers) | Q(org_id__in=org_ids)
        # Messages before users: one that ends meanwhile has left its user behind.
        waiting = InboxMessage.objects.filter(
            either, state__in=UNFINISHED, account_number__isnull=False, org_id__isnull=False
        )
        ties = list(waiting.values_list("account_number", "org_id").distinct())
        users = list(User.objects.filter(either).values_list("account_number", "org_id"))
        self._org_of_user = {account: org for org, account in _pairs(users)}
        self._account_of = dict(_pairs(ties)) | dict(_pairs(users))

    def complete(self, tenant: Tenant) -> Tenant:
        """Add what is known of a message's customer, and learn what the message tells of him.

        An org id that is another customer's is left out.
        """
        account, org = tenant
        if not account:
            return Tenant(self._account_of.get(org or ""), org)
        org = self._org_of_user.get(account) or org
        if org and self._account_of.setdefault(org, account) != account:
            return Tenant(account, None)
        return Tenant(account, org)


def join_queues(tenants: Iterable[Tenant]) -> None:
    """Move what waits under an org id alone to the queue of the account number it belongs to.

    To be called in a transaction. A message that is being worked on stays so; nothing else of its
    customer is begun before it has ended.
    """
    ties = {_org_queue(org): (account, org) for account, org in tenants if account and org}
    found = InboxMessage.objects.filter(customer_key__in=ties, state__in=UNFINISHED)
    org_keys = sorted(found.values_list("customer_key", flat=True).distinct())
    if not org_keys:
        return
    accounts, orgs = zip(*(ties[key] for key in org_keys), strict=True)
    account_keys = [_account_queue(account) for account in accounts]
    lock(QUEUES, *org_keys, *account_keys)
    parameters = {
        "org_keys": org_keys,
        "account_keys": account_keys,
        "account_numbers": list(accounts),
        "org_ids": list(orgs),
    }
    with connection.cursor() as cursor:
        cursor.execute(_JOIN_QUEUES, parameters)


def _account_queue(account_number: str) -> str:
    return f"account {account_number}"


def _org_queue(org_id: str) -> str:
    return f"org {org_id}"


def _pairs(rows: Iterable[tuple[str | None, str | None]]) -> Iterator[tuple[str, str]]:
    """Yield org id and account number of those rows that have both."""
    return ((org, account) for account, org in rows if account and org)
