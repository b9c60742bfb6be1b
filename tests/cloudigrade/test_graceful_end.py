"""Processes that are asked to end in the middle of something (08 §7, §11, DR-11).

Workers have tests of their own: test_workers_end.py.
"""

import base64
import itertools
import json
import os
import subprocess
import sys
import threading
import uuid
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import pytest
import requests
from confluent_kafka import Producer
from django.db import connection

from api.models import InboxMessage
from deployment.local.kafka import create_topics
from deployment.local.ports import LOOPBACK
from tests.cloudigrade.programs import ROOT, free_port
from tests.deployment.messages import KAFKA_CLIENT
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.services]

IDENTITY = base64.b64encode(b'{"identity": {"org_id": "5"}}').decode()
ANSWER = b"""
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>
"""


class SlowAws:
    """An AWS that says who we are when it is told to."""

    def __init__(self):
        self.asked, self.may_answer = threading.Event(), threading.Event()
        aws = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                aws.asked.set()
                aws.may_answer.wait(30)
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(ANSWER)))
                self.end_headers()
                self.wfile.write(ANSWER)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def slow_aws():
    aws = SlowAws()
    yield aws
    aws.close()


@pytest.fixture
def start(tmp_path):
    """Start one of the programs next to the interpreter; give its process."""
    started = []

    def run(*command, **variables):
        with (tmp_path / "log").open("a") as log:
            process = subprocess.Popen(
                (Path(sys.executable).with_name(command[0]), *command[1:]),
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.local",
                    "DJANGO_DATABASE_NAME": connection.settings_dict["NAME"],
                    **variables,
                },
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def get(url, headers=None):
    try:
        return requests.get(url, headers=headers, timeout=30)
    except requests.ConnectionError:
        return None


def test_gunicorn_answers_the_request_that_it_is_working_on(
    transactional_db, start, slow_aws, tmp_path
):
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    gunicorn = start(
        *("gunicorn", "-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"),
        GUNICORN_BIND=f"{LOOPBACK}:{port}",
        AWS_ENDPOINT_URL=slow_aws.url,
        TMPDIR=str(tmp_path),
    )
    assert wait_for(lambda: get(f"{url}/internal/livez/") is not None, seconds=60)
    answers = []
    path = f"{url}/api/cloudigrade/v2/sysconfig/"
    headers = {"X-RH-IDENTITY": IDENTITY}
    customer = threading.Thread(target=lambda: answers.append(get(path, headers)))
    customer.start()
    assert slow_aws.asked.wait(30)
    gunicorn.terminate()
    log = tmp_path / "log"
    assert wait_for(lambda: "Handling signal: term" in log.read_text())
    assert gunicorn.poll() is None
    slow_aws.may_answer.set()
    customer.join()
    [answer] = answers
    assert answer is not None, log.read_text()
    assert (answer.status_code, answer.json()["aws_account_id"]) == (200, "123456789012")
    assert gunicorn.wait(30) == 0


class Topic:
    """A topic of the sources service's messages, numbered from 0."""

    def __init__(self, servers):
        self.name = f"events-{uuid.uuid4()}"
        create_topics(servers, [self.name])
        self._producer = Producer({"bootstrap.servers": servers, **KAFKA_CLIENT})
        self._numbers = itertools.count()

    def write(self, count):
        for number in itertools.islice(self._numbers, count):
            headers = {"event_type": "Application.pause", "x-rh-sources-org-id": "5"}
            body = json.dumps({"id": number})
            self._producer.produce(self.name, key="5", value=body, headers=list(headers.items()))
        assert self._producer.flush(30) == 0

    @property
    def stored(self):
        messages = InboxMessage.objects.filter(topic=self.name)
        return [message.value["id"] for message in messages.order_by("offset")]


@pytest.fixture
def topic(kafka):
    return Topic(kafka)


@contextmanager
def locked_inbox():
    """Keep everybody from storing messages."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    blocker = psycopg2.connect(**{name: parameters[name] for name in names})
    try:
        blocker.cursor().execute("LOCK TABLE api_inboxmessage IN EXCLUSIVE MODE")
        yield
    finally:
        blocker.close()


def somebody_is_storing():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND query LIKE '%%INSERT INTO api_inboxmessage%%'"
        )
        return cursor.fetchone()[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize("in_time", [True, False])
def test_listener_in_the_middle_of_storing(
    transactional_db, redis_client, topic, start, tmp_path, in_time
):
    """The database answers before the listener has ended, or only afterwards: nothing is lost."""

    def listen():
        return start(
            *("python", "manage.py", "listen_to_sources"),
            LISTENER_TOPIC=topic.name,
            LISTENER_GROUP_ID=topic.name,
            KAFKA_LISTENER_ADDRESS_FAMILY="v4",
        )

    log = tmp_path / "log"
    topic.write(1)
    listener = listen()
    assert wait_for(lambda: topic.stored == [0], seconds=60), log.read_text()
    with ExitStack() as lock:
        lock.enter_context(locked_inbox())
        topic.write(3)
        assert wait_for(somebody_is_storing), log.read_text()
        listener.terminate()
        if in_time:
            lock.close()
        assert listener.wait(30) == 0
    assert topic.stored == ([0, 1, 2, 3] if in_time else [0])
    listener = listen()
    topic.write(1)
    assert wait_for(lambda: topic.stored[-1] == 4, seconds=60), log.read_text()
    listener.terminate()
    assert listener.wait(30) == 0
    assert topic.stored == [0, 1, 2, 3, 4]
