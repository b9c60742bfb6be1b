"""One image, its inspections, and who uses it (spec 12 §1.2 "images")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection

from api.models import InspectionAttempt, MachineImage

ATTEMPTS_SHOWN = 20
CUSTOMERS_SHOWN = 20

_CUSTOMERS = """
SELECT account.user_id, usr.org_id, usr.account_number, count(*)
FROM api_instance instance
JOIN api_cloudaccount account ON account.id = instance.cloud_account_id
JOIN api_user usr ON usr.id = account.user_id
WHERE instance.machine_image_id = %s
GROUP BY account.user_id, usr.org_id, usr.account_number
ORDER BY count(*) DESC, account.user_id
LIMIT %s
"""


class ImageUser(NamedTuple):
    """A customer with instances of the image."""

    user_id: int
    org_id: str | None
    account_number: str | None
    instances: int


@dataclass(frozen=True)
class ImageHistory:
    """What the page shows: the newest attempts, and the customers with the most instances."""

    image: MachineImage
    attempts: Sequence[InspectionAttempt]
    customers: Sequence[ImageUser]


def image_history(*, image_id: int) -> ImageHistory | None:
    """Return what is known of an image, None if there is none; three statements."""
    image = (
        MachineImage.objects.defer("inspection_json", "marks_by_account")
        .filter(id=image_id)
        .first()
    )
    if image is None:
        return None
    attempts = InspectionAttempt.objects.filter(machine_image=image).defer("result")
    with connection.cursor() as cursor:
        cursor.execute(_CUSTOMERS, [image_id, CUSTOMERS_SHOWN])
        customers = [ImageUser(*row) for row in cursor.fetchall()]
    return ImageHistory(image, list(attempts.order_by("-id")[:ATTEMPTS_SHOWN]), customers)
