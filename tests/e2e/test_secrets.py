"""No secret leaves a process where people look (spec 08 §8, §9; fault 13).

All processes run with every logger at DEBUG and report errors to a server that keeps them. Then an
AWS account and an Azure subscription are onboarded, requests with identities and keys are made,
good and bad ones, tasks and requests fail, and every log file, error report, metric and task result
is searched for every secret.
"""

import base64
import gzip
import json
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from confluent_kafka import Producer

from api.sources.messages import CREATE
from deployment.local.app import Product
from deployment.local.demo.entry_points import EVENT_TOPIC
from deployment.local.http import local_session
from deployment.local.local_services import LocalServices
from deployment.local.ports import LOOPBACK
from deployment.local.sources import SourcesControl
from tests.deployment.messages import KAFKA_CLIENT
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PUBLIC, INTERNAL = "/api/cloudigrade/v2", "/internal/api/cloudigrade/v1"
IDENTITY = base64.b64encode(
    json.dumps({"identity": {"account_number": "7654321", "org_id": "7654322"}}).encode()
).decode()

SECRETS = {
    "SOURCES_PSK": "secret-of-sources-1f0c",
    "DJANGO_SECRET_KEY": "secret-of-django-2e1d",
    "AWS_SECRET_ACCESS_KEY": "secret-of-aws-4c3f",
}
PSK = "secret-of-swatch-5b4a"
UNKNOWN_PSK = "of-nobody-6a5b"
ARN = "arn:aws:iam::370000000001:role/meter"


class ErrorReports:
    """A server that takes what Sentry's SDK sends, and keeps it."""

    def __init__(self):
        self.texts = texts = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                elif self.headers.get("Content-Encoding") == "deflate":
                    data = zlib.decompress(data)
                texts.append(data.decode())
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.dsn = f"http://public@{LOOPBACK}:{self._server.server_port}/1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def reports():
    server = ErrorReports()
    yield server
    server.close()


@pytest.fixture(scope="module")
def services():
    names = ("postgres", "valkey", "kafka", "aws", "azure", "sources")
    with LocalServices(names, environment={}) as started:
        yield started


@pytest.fixture(scope="module")
def product(services, reports):
    settings = {
        **SECRETS,
        "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.prod",
        "CLOUDIGRADE_ENVIRONMENT": "stage",
        "CLOUDIGRADE_VERSION": "1",
        "CLOUDIGRADE_PSKS": json.dumps({"swatch": PSK}),
        "DJANGO_ALLOWED_HOSTS": "*",
        "DJANGO_DATABASE_PASSWORD": "secret-of-postgres-7f6e",
        **dict.fromkeys(
            (
                "DJANGO_CONSOLE_LOG_LEVEL",
                "DJANGO_ALL_LOG_LEVEL",
                "DJANGO_LOG_LEVEL",
                "CLOUDIGRADE_LOG_LEVEL",
                "AZURE_LOG_LEVEL",
                "LISTENER_LOG_LEVEL",
            ),
            "DEBUG",
        ),
        "CLOUDIGRADE_LOG_FORMAT": "json",
        "VERBOSE_INSIGHTS_IDENTITY_HEADER_LOGGING": "true",
        "API_ENABLE_SENTRY": "true",
        "DJANGO_SENTRY_DSN": reports.dsn,
        "DJANGO_SENTRY_ENVIRONMENT": "test",
        "DJANGO_SENTRY_SAMPLE_RATE_DEFAULT": "1.0",
        "CELERY_ENABLE_SENTRY": "true",
        "CELERY_SENTRY_DSN": reports.dsn,
        "CELERY_SENTRY_ENVIRONMENT": "test",
        "CELERY_SENTRY_SAMPLE_RATE_DEFAULT": "1.0",
    }
    product = Product(services, settings=settings)
    product.start()
    yield product
    product.stop()


def call(product, method, path, **options):
    with local_session() as session:
        return session.request(method, product.url + path, timeout=60, **options)


def onboard(services, product):
    """Have the sources service tell of an AWS account; wait until it is there."""
    sources = SourcesControl(services.env["SOURCES_API_BASE_URL"])
    ids = {"authentication_id": 11, "application_id": 12, "source_id": 13}
    sources.add_customer_application(**ids, username=ARN)
    producer = Producer({"bootstrap.servers": services.embedded["kafka"].address, **KAFKA_CLIENT})
    # Nothing but the identity names the customer, so it is stored and sent along.
    producer.produce(
        EVENT_TOPIC,
        value=json.dumps({"id": 14, "application_id": 12, "authentication_id": 11}),
        headers={"event_type": CREATE, "encoding": "json", "x-rh-identity": IDENTITY},
    )
    assert producer.flush(60) == 0
    accounts = f"{INTERNAL}/accounts/"
    assert wait_for(lambda: call(product, "GET", accounts).json()["data"] != [], seconds=180)


def make_requests(product):
    identity = {"X-RH-IDENTITY": IDENTITY}
    key = {"X-RH-CLOUDIGRADE-PSK": PSK, "X-RH-CLOUDIGRADE-ORG-ID": "7654322"}
    assert call(product, "GET", f"{PUBLIC}/accounts/", headers=identity).status_code == 200
    assert call(product, "GET", f"{PUBLIC}/accounts/", headers=key).status_code == 200
    unknown = {**key, "X-RH-CLOUDIGRADE-PSK": UNKNOWN_PSK}
    assert call(product, "GET", f"{PUBLIC}/accounts/", headers=unknown).status_code in (401, 403)
    broken = {"X-RH-IDENTITY": IDENTITY[:-7] + "x"}
    assert call(product, "GET", f"{PUBLIC}/accounts/", headers=broken).status_code in (401, 403)
    failed = call(
        product,
        "POST",
        "/internal/error/",
        headers={**identity, **key, "Authorization": f"Bearer {PSK}"},
        json={"name": "NotReadyException"},
    )
    assert failed.status_code == 500


def fail_tasks(product):
    """Have tasks fail whose arguments hold a key; return what is told of their ends."""
    ends = []
    for name, kwargs in (
        (
            "api.clouds.aws.tasks.delete_snapshot",
            {"snapshot_copy_id": PSK, "ami_id": IDENTITY, "snapshot_region": "no-such-region"},
        ),
        (
            "api.tasks.create_from_sources_kafka_message",
            {"message": {"id": PSK}, "headers": [["x-rh-identity", IDENTITY]]},
        ),
        ("api.tasks.start_image_inspections", {"images": [[PSK]]}),
    ):
        body = {"task_name": name, "kwargs": kwargs}
        queued = call(product, "POST", "/internal/tasks/", json=body)
        assert queued.status_code == 201, queued.text
        path = f"/internal/tasks/{queued.json()['async_result_id']}/"

        def has_ended(path=path):
            return call(product, "GET", path).json().get("ready") is not False

        assert wait_for(has_ended, seconds=120)
        ends.append(call(product, "GET", path).text)
    assert any("error_class" in end for end in ends), ends
    return ends


def shown(services, product, reports):
    """All that people can see, by where they see it."""
    sinks = {
        f"log {name}": process.log_file.read_text(errors="replace")
        for name, process in product.processes().items()
    }
    sinks["error reports"] = "\n".join(reports.texts)
    for path in ("/internal/metrics", "/internal/readyz/", f"{PUBLIC}/sysconfig/"):
        headers = {"X-RH-IDENTITY": IDENTITY}
        sinks[path] = call(product, "GET", path, headers=headers).text
    return sinks


def test_no_secret_in_any_sink(services, product, reports):
    onboard(services, product)
    make_requests(product)
    ends = fail_tasks(product)
    assert wait_for(lambda: len(reports.texts) >= 3, seconds=60)
    sinks = shown(services, product, reports) | {"ends of tasks": "\n".join(ends)}
    secrets = {
        **{name: product.environment[name] for name in (*SECRETS, "AZURE_CLIENT_SECRET")},
        "database password": product.environment["DJANGO_DATABASE_PASSWORD"],
        "pre-shared key": PSK,
        "identity": IDENTITY,
        "secret keys of STS": "<SecretAccessKey>",
        "session tokens of STS": "<SessionToken>",
    }
    found = [
        (secret, sink)
        for secret, value in secrets.items()
        for sink, text in sinks.items()
        if value in text
    ]
    assert not found
    # The sinks were not empty.
    assert "NotReadyException" in sinks["error reports"]
    assert "NotReadyException" in sinks["log api"]
    assert "create_from_sources_kafka_message" in sinks["log worker"]
    for sink in sinks:
        assert sinks[sink], sink


def test_every_line_of_every_process_is_a_json_object(product):
    """With CLOUDIGRADE_LOG_FORMAT=json, from the first line to the last."""
    logs = {name: process.log_file for name, process in product.processes().items()}
    product.stop()
    assert set(logs) == {"api", "worker", "beat", "listener"}
    lines = {
        name: [_parsed(name, line) for line in log.read_text().splitlines()]
        for name, log in logs.items()
    }
    required = {"time", "level", "logger", "message", "requestid", "customer", "task"}
    for name, records in lines.items():
        assert records, name
        assert all(required <= set(record) for record in records), name
    accesses = [record for record in lines["api"] if record["logger"] == "gunicorn.access"]
    assert all(record["requestid"] for record in accesses)
    assert "org 7654322" in {record["customer"] for record in lines["api"]}
    assert "org 7654322" in {record["customer"] for record in lines["worker"]}
    assert "api.tasks.create_from_sources_kafka_message" in {
        record["task"] for record in lines["worker"]
    }
    assert any("shutdown" in record["message"] for record in lines["worker"])


def _parsed(name, line):
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    assert isinstance(record, dict), f"{name}: {line}"
    return record
