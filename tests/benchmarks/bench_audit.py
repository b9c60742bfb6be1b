"""The nightly audit of 2,000 accounts, a fiftieth of what one worker has to do in an hour.

S3 is played inside the process: a request is made, signed, and answered after some time with what
S3 would write, which is parsed; the network and TLS are left out (spec 10 §3, "Bound").
"""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSResponse
from django.core.cache import cache
from django.db import connection

from api.clouds.aws import session
from api.clouds.aws.audit.walk import Audited, audit_logs
from api.models import AuditedDay, AuditFinding
from tests import factories
from tests.benchmarks.suite import Operation, Suite
from tests.generators import cloudtrail
from util import clock

ACCOUNTS = 2_000
ACCOUNTS_IN_AN_HOUR = 100_000
REGIONS = ("eu-west-1", "us-east-1")
HOURS = (3, 9, 15, 21)
"""Of each day and region, one file in each of these."""

NAME = "abcdefghijklmnop"
"""The random part of the names of files."""

SECONDS_OF_A_REQUEST = 0.02
FILES = ACCOUNTS * len(REGIONS) * len(HOURS) * 2
"""All that is listed: of the last two days."""

_ACCOUNTS = """
INSERT INTO api_cloudaccount (user_id, cloud_type, aws_account_id, account_arn, is_enabled,
    enabled_at, is_synthetic, platform_authentication_id, platform_application_id,
    platform_source_id, platform_application_is_paused, created_at, updated_at)
SELECT %(user)s, 'aws', lpad(n::text, 12, '0'), 'arn:' || n, true, now() - interval '9 days',
       false, n, n, n, false, now() - interval '9 days', now()
FROM generate_series(1, %(accounts)s) n
"""
_HOURS = """
INSERT INTO api_ingesthour (aws_account_id, region, hour, files, records, relevant, stored,
    duplicates, skipped, seen)
SELECT aws_account_id, region, %(day)s + hours * interval '1 hour', 1, 20, 2, 2, 0, '{}', %(name)s
FROM api_cloudaccount, unnest(%(regions)s) region, unnest(%(hours)s) hours
"""


class Audit(Suite):
    """Two days of accounts that use two regions, whose files were all processed."""

    title = f"audit of {ACCOUNTS:,} accounts"

    def load(self) -> None:
        """Store accounts and the names of their files."""
        self.today = datetime.combine(clock.today(), datetime.min.time(), UTC)
        with connection.cursor() as cursor:
            cursor.execute(_ACCOUNTS, {"user": factories.make_user().id, "accounts": ACCOUNTS})
            for days_ago in (1, 2):
                values: dict[str, Any] = {
                    "day": self.today - timedelta(days=days_ago),
                    "regions": list(REGIONS),
                    "hours": list(HOURS),
                    "name": f"00_{NAME}",
                }
                cursor.execute(_HOURS, values)
            cursor.execute("ANALYZE")
        self._keys = mock.patch.dict(
            os.environ, {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
        )
        self._keys.start()
        events = session.s3().meta.events
        events.register("before-send.s3.ListObjectsV2", answer)

    def unload(self) -> None:
        """Let S3 be asked again."""
        self._keys.stop()

    def operations(self) -> list[Operation]:
        """Return the audit."""
        return [
            Operation(
                "audit of two days",
                lambda: audit_logs(seconds=3600),
                prepare=self.forget,
                check=self.check,
                target={"wall_s": 3600 * ACCOUNTS / ACCOUNTS_IN_AN_HOUR},
                rounds=1,
            )
        ]

    def forget(self) -> None:
        """Have nothing audited."""
        cache.clear()
        AuditedDay.objects.all().delete()

    def check(self, audited: Audited) -> None:
        """Require that all files were compared, and nothing was found."""
        assert audited.is_done
        assert (audited.listed, audited.unprocessed) == (FILES, 0)
        assert AuditedDay.objects.count() == 2
        assert not AuditFinding.objects.exists()


def answer(request: Any, **_: Any) -> AWSResponse:
    """Answer as S3 does: with the regions of an account, or the files of a day in one."""
    time.sleep(SECONDS_OF_A_REQUEST)
    query = request.url.partition("?")[2]
    prefix = next(
        part.removeprefix("prefix=") for part in query.split("&") if part.startswith("prefix=")
    ).replace("%2F", "/")
    inner = "".join(_regions(prefix) if "delimiter=" in query else _files(prefix))
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{inner}</ListBucketResult>"
    return AWSResponse(request.url, 200, {}, _Raw(body.encode()))


def _regions(prefix: str) -> list[str]:
    return [
        f"<CommonPrefixes><Prefix>{prefix}{region}/</Prefix></CommonPrefixes>" for region in REGIONS
    ]


def _files(prefix: str) -> list[str]:
    _, account, _, region, year, month, day, _ = prefix.split("/")
    found = []
    for hour in HOURS:
        at = datetime(int(year), int(month), int(day), hour, tzinfo=UTC)
        key = cloudtrail.log_key(account=account, at=at, name=NAME, region=region)
        found.append(
            f"<Contents><Key>{key}</Key><LastModified>{at:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<ETag>&quot;0&quot;</ETag><Size>999</Size></Contents>"
        )
    return found


class _Raw:
    """A body, as urllib3 gives it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Any:
        """Yield it whole."""
        yield self._body
