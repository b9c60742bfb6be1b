"""Whatever is asked of ``usage/`` is answered, or refused with a reason (spec 11 §1)."""

import random
from urllib.parse import quote

import pytest
import time_machine

from api.measures.question import DIMENSIONS
from tests import factories
from tests.api.metering.notation import at
from tests.api.public.callers import caller_for
from tests.fuzzing import FUZZED_QUERIES

pytestmark = pytest.mark.django_db

NAMES = [
    *("start", "end", "granularity", "limit", "offset", "filter", "filter[]", "group_by"),
    *("group_by[]", "filter[search]", "filter[contains:arch]", "order_by[arch]", "filter[arch"),
    "filter[[arch]]",
    *(
        f"{verb}[{name}]"
        for name in (*DIMENSIONS, "foo")
        for verb in ("filter", "exclude", "group_by")
    ),
]
VALUES = [
    *("", "*", "hour", "day", "month", "2023-03-10", "2023-03-12", "2023-03-10T05", "2023-04-01"),
    *("2023-02-01", "2023-03-01", "0001-01-01", "9999-12-31", "9999-12-31T23:00-23:59", "-1"),
    *("2023-02-30", "0", "1", "99999999999999999999", "1e9", "NaN", "own", "cloud", "aws"),
    *("azure", "x86_64", "x64", "_ANY", "us-east-1", "m5.large", "a,b", ",", "%2C", "\0", "é"),
    *("💥", "%", "_", "'", '"', "\\", "{}", "[]", "potato", "2023-03-10T05:00:00.5"),
    *("2023-03-10 05:00+02:00", "2023-03-10T99", "x" * 3000),
]


@pytest.mark.slow
def test_random_queries(environment):
    other = factories.make_azure_account(user=environment.user)
    environment.instance("on 09T01, off 10T05", instance_type="m5.large")
    environment.instance("on 10T05", account=other)
    environment.recalculate()
    caller = caller_for(environment.user)
    source = random.Random(11)
    answers = {200: 0, 400: 0}
    with time_machine.travel(at("12T02"), tick=False):
        for _ in range(FUZZED_QUERIES):
            number = source.choice([1, 1, 1, 2, 3, 5])
            query = "&".join(
                f"{quote(source.choice(NAMES), safe='[]')}={quote(source.choice(VALUES))}"
                for _ in range(number)
            )
            answer = caller.get(f"/usage/?{query}")
            assert answer.status_code in answers, query
            answers[answer.status_code] += 1
            assert isinstance(answer.json(), dict)
    assert min(answers.values()) > FUZZED_QUERIES / 20


def test_bytes_that_are_no_text(environment):
    caller = caller_for(environment.user)
    for query in ("filter[arch]=%ff%fe", "start=%00", "%ff=%ff", "filter[%ff]=1", "&&&=&="):
        assert caller.get(f"/usage/?{query}").status_code in (200, 400)
