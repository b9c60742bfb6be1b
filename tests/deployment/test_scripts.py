"""What pods run before their program (08 §12.1, §12.2), run here against real services."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg2
import pytest

from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import free_port
from util.locks import advisory_key

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

SCRIPTS = REPOSITORY / "deployment" / "scripts"
PENDING = "SELECT count(*) FROM django_migrations WHERE app = 'api'"


@pytest.fixture
def database(postgres, local_services, request):
    """The name of an empty database, dropped in the end."""
    name = f"scripts_{os.getpid()}_{abs(hash(request.node.name)) % 100000}"
    execute("postgres", f"CREATE DATABASE {name}")
    yield name
    execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")


def execute(database, statement):
    with_connection = connect(database)
    with_connection.autocommit = True
    with with_connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else None
    with_connection.close()
    return rows


def connect(database):
    return psycopg2.connect(
        dbname=database,
        host=os.environ["DJANGO_DATABASE_HOST"],
        port=os.environ["DJANGO_DATABASE_PORT"],
        user=os.environ["DJANGO_DATABASE_USER"],
        password=os.environ["DJANGO_DATABASE_PASSWORD"],
    )


def pod(database, **changes):
    """The environment of a pod: production settings, the embedded services."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.prod",
        "CLOUDIGRADE_ENVIRONMENT": f"scripts{os.getpid()}",
        "IMAGE_TAG": "1234567",
        "DJANGO_SECRET_KEY": "not-a-known-one",
        "DJANGO_ALLOWED_HOSTS": "*",
        "DJANGO_DATABASE_NAME": database,
        "AZURE_CLIENT_ID": "a",
        "AZURE_CLIENT_SECRET": "b",
        "AZURE_TENANT_ID": "c",
        "AZURE_SP_OBJECT_ID": "d",
        "AZURE_SUBSCRIPTION_ID": "e",
        "AWS_MAX_ATTEMPTS": "1",
        **changes,
    }
    environment.pop("CELERY_TASK_ALWAYS_EAGER", None)
    return environment


def start(script, environment, *arguments):
    return subprocess.Popen(
        ["/bin/bash", str(SCRIPTS / script), *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script, environment, *arguments):
    process = start(script, environment, *arguments)
    output, errors = process.communicate(timeout=280)
    return process.returncode, output + errors


@pytest.fixture
def webhook():
    """The messages that an incoming webhook got, and its URL."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield received, f"http://127.0.0.1:{server.server_port}/hook-with-a-secret"
    server.shutdown()
    server.server_close()


def test_the_init_script_migrates_provisions_and_tells(database, valkey, aws, webhook):
    received, url = webhook
    code, output = run("cloudigrade_init.sh", pod(database, SLACK_TOKEN=url))
    assert code == 0, output
    assert execute(database, PENDING)[0][0] > 0
    name = f"scripts{os.getpid()}"
    buckets = {one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]}
    kinds = ("trails", "inspections", "exports")
    assert buckets == {f"{name}-cloudigrade-{kind}" for kind in kinds}
    assert f'Configuring SQS queue "{name}-cloudigrade-cloudtrail-s3"' in output
    assert received == [
        {
            "text": f"{name}-1234567 -- migrate ok, provisionaws ok, configurequeues ok,"
            " syncbucketlifecycle ok"
        }
    ]
    assert "hook-with-a-secret" not in output


def test_with_logs_of_json_each_line_is_an_object(database, valkey, aws):
    """What migrations and AWS's steps write for people, too (operations issue, item 4)."""
    environment = pod(database, CLOUDIGRADE_LOG_FORMAT="json")
    waiting = start("wait_for_migrations.sh", environment)
    first = waiting.stderr.readline()
    code, output = run("cloudigrade_init.sh", environment)
    assert code == 0, output
    _, rest = waiting.communicate(timeout=60)
    lines = [json.loads(line) for line in (first + output + rest).splitlines()]
    assert lines[0]["message"] == "the database is not ready or has pending migrations"
    messages = [line["message"] for line in lines]
    assert "Applying api.0001_initial... OK" in messages
    assert any(one.startswith("Configuring SQS queue") for one in messages)
    assert {line["level"] for line in lines} <= {"INFO", "WARNING"}


def without_aws(database, **changes):
    return pod(database, AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}", **changes)


def test_an_outage_of_aws_does_not_keep_the_api_from_serving(database, valkey, webhook):
    received, url = webhook
    code, output = run("cloudigrade_init.sh", without_aws(database, DEPLOY_NOTIFICATION_URL=url))
    assert code == 0, output
    assert execute(database, PENDING)[0][0] > 0
    assert "migrate ok, provisionaws FAILED" in received[0]["text"]


def test_strictly_an_outage_of_aws_is_fatal(database, valkey):
    environment = without_aws(database, CLOUDIGRADE_INIT_STRICT="true")
    code, output = run("cloudigrade_init.sh", environment)
    assert code == 1, output
    assert execute(database, PENDING)[0][0] > 0


def test_a_webhook_that_fails_changes_nothing(database, valkey, aws):
    url = f"http://127.0.0.1:{free_port()}/hook-with-a-secret"
    code, output = run("cloudigrade_init.sh", pod(database, DEPLOY_NOTIFICATION_URL=url))
    assert code == 0, output
    assert "hook-with-a-secret" not in output


def test_without_database_the_wait_is_bounded(database, valkey, aws):
    environment = pod(database, DJANGO_DATABASE_PORT=str(free_port()))
    code, output = run("cloudigrade_init.sh", environment, "--wait", "1")
    assert code == 1
    assert "does not answer" in output
    assert aws.calls() == []


def test_several_init_containers_at_once_migrate_once(database, valkey, aws):
    started = [start("cloudigrade_init.sh", pod(database)) for _ in range(3)]
    outputs = [process.communicate(timeout=280) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert sum("Applying api.0001_initial" in output for output, _ in outputs) == 1


def test_a_migration_waits_for_the_one_that_is_under_way(database, valkey, aws):
    holder = connect(database)
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("migrate", "schema")])
    code, output = run("cloudigrade_init.sh", pod(database), "--wait", "1")
    holder.close()
    assert code == 1
    assert "another process has been migrating for 1 seconds" in output


def test_scenario_22_worker_and_beat_wait_for_migrations(database, valkey):
    waiting = start("wait_for_migrations.sh", pod(database))
    warning = waiting.stderr.readline()
    assert "WARNING" in warning
    assert waiting.poll() is None
    environment = pod(database)
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--no-input"],
        cwd=REPOSITORY,
        env=environment,
        check=True,
        capture_output=True,
    )
    waiting.communicate(timeout=240)
    assert waiting.returncode == 0


def test_worker_and_beat_wait_for_the_database(database, valkey):
    waiting = start("wait_for_migrations.sh", pod(database, DJANGO_DATABASE_PORT=str(free_port())))
    try:
        assert "WARNING" in waiting.stderr.readline()
        assert waiting.poll() is None
    finally:
        waiting.kill()
        waiting.communicate()
