"""Checks whether the metered accounts can be read (spec 12 §3).

A few rows of the index of describes are read for each account.
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import connection

from api.doctor.findings import MOST_NAMED, Finding, and_more, span
from api.models import DescribeRun

FAILURES = 3
"""So many in a row are told."""

_METERED = """a.cloud_type = %(cloud_type)s AND a.is_enabled
  AND NOT a.platform_application_is_paused AND NOT a.is_synthetic"""

# A region that only refuses us is left out: organizations often close regions for everybody. A
# failure without a region counts until any region could be read again.
_FAILING = f"""
SELECT a.id, coalesce(a.aws_account_id, a.subscription_id::text), failing.regions, failing.error
FROM api_cloudaccount a CROSS JOIN LATERAL (
    SELECT count(*) AS found, string_agg(region, ', ' ORDER BY region) AS regions,
           max(outcome || coalesce(' (' || nullif(error_code, '') || ')', '')) AS error
    FROM (
        SELECT region, (array_agg(outcome ORDER BY number))[1] AS outcome,
               (array_agg(error_code ORDER BY number))[1] AS error_code
        FROM (
            SELECT *, row_number() OVER (
                       PARTITION BY region ORDER BY started_at DESC, id DESC) AS number,
                   max(started_at) FILTER (WHERE outcome = 'ok') OVER () AS last_good_at
            FROM (
                SELECT id, region, outcome, error_code, started_at FROM api_describerun
                WHERE cloud_account_id = a.id AND kind = ANY(%(kinds)s)
                  AND started_at >= coalesce(a.enabled_at, '-infinity')
                ORDER BY started_at DESC LIMIT 200
            ) newest
        ) numbered
        WHERE number <= %(failures)s
        GROUP BY region, last_good_at
        HAVING count(*) = %(failures)s AND bool_and(outcome <> 'ok')
           AND (region IS NOT NULL OR max(started_at) > coalesce(last_good_at, '-infinity'))
           AND NOT (region IS NOT NULL AND bool_and(outcome = 'denied'))
    ) region
) failing
WHERE {_METERED} AND failing.found > 0
ORDER BY a.id
LIMIT %(limit)s
"""  # noqa: S608 - made of constants

_LATE = f"""
SELECT a.id, coalesce(a.aws_account_id, a.subscription_id::text),
       extract(epoch FROM statement_timestamp() - seen.at)::float, count(*) OVER ()
FROM api_cloudaccount a CROSS JOIN LATERAL (
    SELECT GREATEST(a.enabled_at, (
        SELECT finished_at FROM api_describerun
        WHERE cloud_account_id = a.id AND kind = ANY(%(kinds)s) AND outcome = 'ok'
        ORDER BY started_at DESC LIMIT 1
    )) AS at
) seen
WHERE {_METERED} AND seen.at < statement_timestamp() - %(seconds)s * interval '1 second'
ORDER BY seen.at, a.id
LIMIT %(limit)s
"""  # noqa: S608 - made of constants

_AWS_KINDS = [str(DescribeRun.Kind.INITIAL), str(DescribeRun.Kind.RECONCILE)]
_AZURE_KINDS = [str(DescribeRun.Kind.AZURE_POLL)]


def aws_accounts() -> Iterator[Finding]:
    """Report AWS accounts whose describes failed three times, or are older than two periods."""
    period = settings.AWS_RECONCILE_SCHEDULE
    if period:
        parameters = {"cloud_type": "aws", "kinds": _AWS_KINDS, "seconds": 2 * period}
        yield from _failing("AWS account", parameters, "CloudigradeAwsScanFails")
        yield from _late("AWS accounts", parameters, "CloudigradeAwsAccountUnseen")


def azure_subscriptions() -> Iterator[Finding]:
    """Report subscriptions whose polls failed three times, or are older than two periods."""
    period = settings.UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE
    if period and settings.ENABLE_AZURE_VM_DISCOVERY:
        parameters = {"cloud_type": "azure", "kinds": _AZURE_KINDS, "seconds": 2 * period}
        section = "CloudigradeAzureSubscriptionRefused"
        yield from _failing("Azure subscription", parameters, section)
        yield from _late("Azure subscriptions", parameters, "CloudigradeAzureSubscriptionUnseen")


def _failing(title: str, parameters: dict[str, Any], runbook: str) -> Iterator[Finding]:
    for account_id, number, regions, error in _select(_FAILING, parameters):
        where = f" in {regions}" if regions else ""
        yield Finding(
            f"{title} {number} (account {account_id}) could not be read{where} {FAILURES} times:"
            f" {error}.",
            runbook,
        )


def _late(title: str, parameters: dict[str, Any], runbook: str) -> Iterator[Finding]:
    rows = _select(_LATE, parameters)
    if rows:
        oldest, count = rows[0][2], rows[0][3]
        named = ", ".join(f"{number} (account {account_id})" for account_id, number, *_ in rows)
        yield Finding(
            f"{count} {title} were not read for {span(oldest)} at most: {named}{and_more(count)}.",
            runbook,
        )


def _select(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {**parameters, "failures": FAILURES, "limit": MOST_NAMED})
        return cursor.fetchall()
