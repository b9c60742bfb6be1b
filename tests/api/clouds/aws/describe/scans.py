"""Describe the account of a testbed, now or later, and change what EC2 shows of it."""

from datetime import timedelta

import time_machine

from api.clouds.aws.describe.sync import describe_account
from tests.api.clouds.aws.testbed import at

INSPECT = "api.tasks.start_image_inspections"
NOW = at(12)


def describe(testbed, **options):
    describe_account(account_id=testbed.account.id, **options)


def ec2(testbed, region="us-east-1"):
    return testbed.aws.client("ec2", account_id=testbed.account.aws_account_id, region=region)


def later(**options):
    return time_machine.travel(NOW + timedelta(**options), tick=False)
