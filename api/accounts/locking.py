"""Hold one account still, with all that belongs to its customer (spec 03 §11)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import transaction

from api.models import CloudAccount
from api.models.locking import lock_users


@contextmanager
def locked_account(account_id: int) -> Iterator[CloudAccount | None]:
    """Lock an account and its user until the transaction ends; yields None if it is gone.

    Opens a transaction, or joins the one in progress. Never call a cloud, Kafka or sources within.
    """
    accounts = CloudAccount.objects.filter(id=account_id)
    with transaction.atomic(), ExitStack() as locks:
        held = locks.enter_context(lock_users(accounts.values_list("user_id", flat=True)))
        account = accounts.select_related("user").select_for_update(of=("self",)).first()
        if account is not None and account.user_id not in held:
            # Its user was merged into another one a moment ago.
            locks.enter_context(lock_users([account.user_id]))
        yield account
