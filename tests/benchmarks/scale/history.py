"""Thirteen months of many customers, made by PostgreSQL itself; not measured."""

from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from tests import factories
from tests.benchmarks import bulk

NOW = datetime(2023, 2, 1, 0, 40, tzinfo=UTC)
JOINED = datetime(2022, 1, 1, tzinfo=UTC)

CUSTOMERS = 200
INSTANCES = 100
"""Of each customer."""
PAIRS = 25
"""Times that each instance was switched on and off."""
IMAGES = 20

# Every second customer has two accounts.
_CUSTOMERS = """
WITH made AS (
    INSERT INTO api_user (password, is_superuser, uuid, account_number, org_id, date_joined,
                          is_active, is_permanent)
    SELECT '', false, gen_random_uuid()::text, 'a' || number, 'o' || number, %(joined)s, false,
           false
    FROM generate_series(1, %(customers)s) AS number
    RETURNING id
), locks AS (
    INSERT INTO api_usertasklock (user_id, locked, created_at, updated_at)
    SELECT id, false, %(joined)s, %(joined)s FROM made
), numbered AS (
    SELECT id, place, row_number() OVER (ORDER BY id, place) AS number
    FROM made CROSS JOIN generate_series(0, 1) AS place
    WHERE place = 0 OR id %% 2 = 0
)
INSERT INTO api_cloudaccount (user_id, cloud_type, aws_account_id, account_arn, is_enabled,
    enabled_at, is_synthetic, platform_authentication_id, platform_application_id,
    platform_source_id, platform_application_is_paused, created_at, updated_at)
SELECT id, 'aws', to_char(700000000000 + number, 'FM000000000000'), 'arn:aws:iam::' || number,
       true, %(joined)s, false, 5000000 + number, 5000000 + number, 5000000 + number, false,
       %(joined)s, %(joined)s
FROM numbered
"""
_INSTANCES = """
INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
                          created_at, updated_at)
SELECT account.id, %(image)s + number %% %(images)s, 'aws',
       'i-' || to_char(account.id * 1000 + number, 'FM00000000000000000'), 'us-east-1',
       %(joined)s, %(joined)s
FROM (
    SELECT id, %(instances)s / count(*) OVER (PARTITION BY user_id) AS share
    FROM api_cloudaccount WHERE account_arn LIKE 'arn:aws:iam::%%' AND length(account_arn) < 30
) account
CROSS JOIN LATERAL generate_series(1, account.share) AS number
"""
_TIMES = """
FROM api_instance instance
CROSS JOIN generate_series(0, %(pairs)s - 1) AS pair
CROSS JOIN LATERAL (
    SELECT %(joined)s + pair * interval '15 days' + (instance.id %% 300) * interval '1 hour'
               AS on_at
) time
WHERE instance.region = 'us-east-1'
"""
_EVENTS = f"""
INSERT INTO api_instanceevent (instance_id, cloud_account_id, event_type, occurred_at,
    instance_type, origin, source_id, source_name, created_at, updated_at)
SELECT instance.id, instance.cloud_account_id, kind.name,
       on_at + kind.after, 't2.micro', 'cloudtrail', gen_random_uuid(), '',
       on_at + interval '1 day', on_at + interval '1 day'
{
    _TIMES.replace(
        "WHERE",
        '''CROSS JOIN (
    VALUES ('power_on', interval '0'), ('power_off', interval '9 hours')
) AS kind (name, after)
WHERE''',
    )
}
"""
_RUNS = f"""
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
                     instance_type, vcpu, memory, created_at, updated_at)
SELECT instance.id, instance.cloud_account_id, instance.machine_image_id, on_at,
       on_at + interval '9 hours', 't2.micro', 1, 1024, on_at + interval '1 day',
       on_at + interval '1 day'
{_TIMES}
"""
_USAGE = """
INSERT INTO api_concurrentusage (user_id, date, maximum_counts, sums, revision, computed_at,
    summed_at, algorithm, code_version, created_at, updated_at)
SELECT customer.id, day::date,
       '[["_ANY", "_ANY", "_ANY", "_ANY", "_ANY", 5], ["x86_64", "_ANY", "_ANY", "_ANY", "_ANY", 5],
         ["x86_64", "_ANY", "Premium", "_ANY", "_ANY", 5], ["_ANY", "_ANY", "Premium", "_ANY", "_ANY", 5]]',
       '[]', 1, %(now)s, %(now)s, 'made up', '', %(now)s, %(now)s
FROM api_user customer
CROSS JOIN generate_series(%(joined)s::timestamptz, %(now)s::timestamptz, interval '1 day') AS day
WHERE customer.account_number LIKE 'a%%'
"""  # noqa: E501 - data


_LARGE = "{api_instanceevent,api_run,api_concurrentusage}"


def store(scale: int) -> None:
    """Store 200 customers, 20,000 instances and 10^6 events, times the scale, and their runs."""
    images = [factories.make_rhel_image() for _ in range(IMAGES)]
    parameters: dict[str, Any] = {
        "customers": CUSTOMERS * scale,
        "instances": INSTANCES,
        "pairs": PAIRS,
        "images": IMAGES,
        "image": min(image.id for image in images),
        "joined": JOINED,
        "now": NOW,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        # What is made here fits together: no need to look at each reference.
        cursor.execute("SET LOCAL session_replication_role = replica")
        # Indexes are built once, from what is there, in place of being changed row by row.
        cursor.execute("SET LOCAL maintenance_work_mem = '1GB'")
        cursor.execute(
            "UPDATE pg_index SET indisready = false WHERE indrelid = ANY(%s::regclass[])", [_LARGE]
        )
        for statement in (_CUSTOMERS, _INSTANCES, _EVENTS, _RUNS, _USAGE):
            cursor.execute(statement, parameters)
        for table in _LARGE.strip("{}").split(","):
            cursor.execute(f"REINDEX TABLE {table}")
    bulk.analyze()
