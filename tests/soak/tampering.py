"""A number that is made wrong on purpose: an alert must tell, and the number must mend itself."""

import json
from collections.abc import Callable
from datetime import date

from tests.e2e.load import PUBLIC
from tests.e2e.sources_environment import Customer
from tests.soak.alarms import Alarms
from tests.soak.deployment import SoakDeployment
from tests.soak.judge import ask

ALERT = "CloudigradeNumberUnexplained"
SECONDS_TO_MEND = 120.0

_OF_A_DAY = """
SELECT stored.id, stored.maximum_counts FROM api_concurrentusage stored
JOIN api_user customer ON customer.id = stored.user_id
WHERE customer.account_number = %s AND stored.date = %s
"""


def problems_of_a_wrong_number(
    deployment: SoakDeployment, alarms: Alarms, customer: Customer, day: date
) -> list[str]:
    """Make the numbers of a day wrong, have it explained, and return what did not follow."""
    [(row, right)] = deployment.query(_OF_A_DAY, customer.account_number, day)
    wrong = [[*key, number + 1] for *key, number in right]
    with deployment.database() as cursor:
        cursor.execute(
            "UPDATE api_concurrentusage SET maximum_counts = %s WHERE id = %s",
            [json.dumps(wrong), row],
        )
    url = deployment.urls("api")[0]
    ask(url, f"{PUBLIC}/explain/?date={day}", customer)
    found = []
    if not _comes(deployment, lambda: ALERT in alarms.scrape()):
        found.append(f"{customer} {day}: a number was wrong, and {ALERT} does not tell")
    if not _comes(
        deployment, lambda: deployment.query(_OF_A_DAY, customer.account_number, day)[0][1] == right
    ):
        found.append(f"{customer} {day}: a number was wrong, and stays wrong")
    return found


def _comes(deployment: SoakDeployment, condition: Callable[[], bool]) -> bool:
    try:
        deployment.wait_for(condition, "a wrong number is noticed", SECONDS_TO_MEND)
    except AssertionError:
        return False
    return True
