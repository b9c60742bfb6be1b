"""A database of the original is recognised and left alone."""

import json
import os
import subprocess
import sys

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from api.original.recognition import ADVICE, is_original
from tests.cloudigrade.programs import ROOT

pytestmark = pytest.mark.django_db

TRACES = {
    "its tables": "CREATE TABLE api_awscloudaccount (id bigint)",
    "its migrations": (
        "INSERT INTO django_migrations (app, name, applied)"
        " VALUES ('api', '0064_user_is_permanent', now())"
    ),
}


def test_ours_is_not_the_original_s():
    assert not is_original(connection)


@pytest.mark.parametrize("trace", TRACES)
def test_it_is_recognised_and_not_migrated(trace):
    with connection.cursor() as cursor:
        cursor.execute(TRACES[trace])
    assert is_original(connection)
    with pytest.raises(CommandError, match="tables of the original") as caught:
        call_command("migrate", verbosity=0)
    assert caught.value.returncode == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("line_format", ["text", "json"])
@pytest.mark.parametrize("command", ["migrate", "initialize"])
def test_commands_say_so_in_one_line(command, line_format):
    """As processes: exit code 2, no traceback; one object where logs are JSON."""
    name = f"original_{command}_{line_format}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        settings = connection.settings_dict
        other = psycopg2.connect(
            host=settings["HOST"], port=settings["PORT"], user=settings["USER"], dbname=name
        )
        with other, other.cursor() as cursor:
            cursor.execute(TRACES["its tables"])
        other.close()
        done = subprocess.run(
            [sys.executable, "manage.py", command],
            env={
                **os.environ,
                "DJANGO_DATABASE_NAME": name,
                "CLOUDIGRADE_LOG_FORMAT": line_format,
                # Those of tests say nothing.
                "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.local",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert done.returncode == 2, done.stderr
    assert ADVICE in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if line_format == "json":
        [line] = map(json.loads, (done.stdout + done.stderr).splitlines())
        assert line["level"] == "ERROR"
