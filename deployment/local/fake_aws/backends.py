"""Looking beyond one account: moto's EC2 backends of the other accounts in the same region."""

from collections.abc import Iterator
from typing import Any

from moto.ec2.models import ec2_backends


def other_accounts(backend: Any) -> Iterator[Any]:
    """Yield the EC2 backends of all other accounts in the region of this one.

    Accounts and regions that nobody has touched so far are not brought to life.
    """
    for account_id, regions in list(ec2_backends.items()):
        neighbour = dict.get(regions, backend.region_name)
        if neighbour is not None and account_id != backend.account_id:
            yield neighbour
