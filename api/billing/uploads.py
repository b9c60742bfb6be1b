"""Files of registrations that operators upload: checked at once, stored by a worker (12 §1).

Between the two, the rows lie in a table of their own. They are stored in one transaction, all or
none, so that an action that is cancelled before has stored nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from api.billing.registrations import Counts, merge_staged, stage_file, staged_rows
from api.models import UploadedRegistration

_KEEP = """
INSERT INTO api_uploadedregistration (
    action_id, line, cloud, cloud_id, registered_from, registered_until
)
SELECT %s, line, cloud, cloud_id, since, until FROM registration_row
"""

_FETCH = """
INSERT INTO registration_row
SELECT line, cloud, cloud_id, registered_from, registered_until
FROM api_uploadedregistration WHERE action_id = %s
"""


@contextmanager
def checked_upload(file: TextIO) -> Iterator[Callable[[int], None]]:
    """Check a file; yield what keeps its rows for an action, in the same transaction.

    Raises WrongFileError. Rows of actions that were cancelled or failed go on this occasion.
    """
    with staged_rows() as cursor:
        stage_file(cursor, file)
        UploadedRegistration.objects.filter(action__finished_at__isnull=False).delete()
        yield lambda action_id: cursor.execute(_KEEP, [action_id])


def store_upload(*, user_id: int, action_id: int) -> Counts:
    """Store the rows that were kept for an action: all, or none."""
    with staged_rows() as cursor:
        cursor.execute(_FETCH, [action_id])
        return merge_staged(cursor, user_id=user_id, rows=cursor.rowcount)


def forget_upload(*, action_id: int) -> None:
    """Delete the rows that were kept for an action."""
    UploadedRegistration.objects.filter(action_id=action_id).delete()
