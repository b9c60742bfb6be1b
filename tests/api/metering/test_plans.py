"""The hot queries find their rows through indexes (spec 07 §14.2).

With sequential scans made expensive PostgreSQL shows whether an index fits at all; with few rows it
would rightly not use any.
"""

import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.metering import (
    missing,
    problems,
    recalculate,
    reports,
    runs,
    staleness,
    stored_counts,
    window,
)
from tests.api.metering.notation import at, day

LARGE_TABLES = ("api_instanceevent", "api_run", "api_concurrentusage")

SINCE = at("10T00")

QUERIES = {
    "instances to look at": (
        recalculate._INSTANCES_TO_LOOK_AT,
        {"accounts": [1, 2], "since": SINCE},
        ["instanceevent_occurred"],
    ),
    "customers to look at": (
        missing._USERS_TO_LOOK_AT,
        {"users": [1, 2], "since": None, "today": day(12)},
        ["concurrentusage_day", "api_user_pkey"],
    ),
    "empty rows of customers": (
        missing._FILL_WITHOUT_RUNS,
        {
            "users": [1, 2],
            "since": None,
            "today": day(12),
            "now": SINCE,
            "algorithm": "",
            "version": "",
            "limit": 10,
        },
        ["concurrentusage_day", "api_user_pkey"],
    ),
    "missing days of a customer": (
        missing._MISSING_DAYS,
        {"user": 1, "first": day(1), "today": day(12)},
        ["concurrentusage_day"],
    ),
    "runs of a window": (
        window._RUNS,
        {"user": 1, "begin": day(10), "limit": day(13), "most": 300_001},
        # Several fit; which is best depends on how long the history is.
        [],
    ),
    "images of a window": (window._IMAGES, [[1, 2]], ["api_machineimage_pkey"]),
    "counts of a window": (stored_counts._MEASURED, [1, [day(10)], 1], ["concurrentusage_day"]),
    "events of instances": (runs._EVENTS, [[1, 2]], ["instanceevent_identity"]),
    "number of events": (runs._COUNT_EVENTS, [[1, 2]], ["instanceevent_identity"]),
    "runs of instances": (runs._RUNS, [[1, 2]], ["run_start"]),
    "days of an image's runs": (
        staleness._MARK_DAYS_OF_RUNS.format(
            condition="run.machine_image_id = ANY(%(ids)s)", ref="run.machine_image_id", refs=10
        ),
        {"ids": [1], "cause": "image_changed", "now": SINCE},
        ["machine_image"],
    ),
}


def plan(sql, parameters=None):
    with connection.cursor() as cursor:
        # What PostgreSQL knows of rows of earlier tests would choose between indexes that fit.
        cursor.execute(f"TRUNCATE {', '.join(LARGE_TABLES)}")
        cursor.execute(
            "DELETE FROM pg_statistic WHERE starelid = ANY(%s::regclass[])", [list(LARGE_TABLES)]
        )
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (COSTS OFF) {sql}", parameters)
        return "\n".join(row[0] for row in cursor.fetchall())


def check(text, indexes):
    for index in indexes:
        assert index in text, text
    for table in (*LARGE_TABLES, "api_instance "):
        assert f"Seq Scan on {table}" not in text, text


@pytest.mark.one_table
@pytest.mark.parametrize("name", QUERIES)
def test_query_uses_its_index(db, name):
    sql, parameters, indexes = QUERIES[name]
    check(plan(sql, parameters), indexes)


@pytest.mark.one_table
@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        (
            lambda: reports.daily_usage(
                user_id=1, first_day=day(1), last_day=day(1) + datetime.timedelta(days=99)
            ),
            ["concurrentusage_day"],
        ),
        (
            # In their order, reading a table of few rows by its primary key would do as well.
            lambda: list(problems.problematic_runs().order_by()),
            ["run_open", "instanceevent_identity"],
        ),
    ],
    ids=["reading usage", "problematic runs"],
)
def test_selector_uses_its_index(db, query, indexes):
    with CaptureQueriesContext(connection) as queries:
        query()
    check(plan(queries[-1]["sql"]), indexes)
