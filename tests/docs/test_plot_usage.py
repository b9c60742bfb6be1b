"""The script of docs/usage.md runs as it stands (spec 11 §1)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import factories
from tests.api.public.callers import caller_for
from util import clock

SCRIPT = Path("docs/examples/plot_usage.py")


@pytest.mark.django_db(transaction=True)
def test_a_month_is_drawn(live_server):
    user = factories.make_user()
    account = factories.make_aws_account(user=user)
    instance = factories.make_instance(account=account, image=factories.make_rhel_image())
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    factories.make_definition(instance_type="t3.large", vcpu=2)
    factories.make_run(instance=instance, start=today.replace(day=1), end=today)
    month = f"{today:%Y-%m}"
    done = subprocess.run(
        [sys.executable, SCRIPT, month],
        env={
            **os.environ,
            "URL": f"{live_server.url}/api/cloudigrade/v2",
            "IDENTITY": caller_for(user).headers["X-RH-IDENTITY"],
        },
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == today.day
    assert all("48.0 vCPU h" in line and "#" * 60 in line for line in lines[:-1])
    assert "(not final)" in lines[-1]
