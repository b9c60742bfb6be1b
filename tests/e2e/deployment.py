"""All processes of the product, several of each kind that may be, replaced as a cluster does it."""

import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import requests
import yaml

from cloudigrade.schedule import ENTRIES
from cloudigrade.task_names import QUEUE_NAMES
from deployment.local.http import local_session
from deployment.local.ports import LOOPBACK
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import free_port
from tests.e2e.sources_environment import LISTENER, Customer, SourcesEnvironment

BEAT = (
    *("celery", "--app", "cloudigrade", "beat", "--loglevel", "info", "--pidfile="),
    *("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"),
)
GUNICORN = ("gunicorn", "-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi")

SECONDS_TO_START = 90.0
SECONDS_OF_SQS = "10"
"""For how long the queue of logs shows a message to nobody else whose reader is lost."""


_METERED_FOR_LONG = """
UPDATE api_cloudaccount
SET created_at = now() - interval '9 days', enabled_at = now() - interval '9 days'
WHERE platform_application_id = ANY(%s)
"""
_FORGET_INSTANCES = """
DELETE FROM api_instance WHERE cloud_account_id IN (
    SELECT id FROM api_cloudaccount WHERE platform_application_id = ANY(%s))
"""


@dataclass
class Pod:
    """One process of the deployment; ``url`` is where it is asked, if it serves anything."""

    part: str
    name: str
    process: ManagedProcess
    url: str = ""

    @property
    def grace(self) -> int:
        """The seconds that the manifest gives it to end."""
        manifest = REPOSITORY / "deployment" / "kubernetes" / "base" / f"{self.part}.yaml"
        deployment = next(yaml.safe_load_all(manifest.read_text()))
        return deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    def is_ready(self) -> bool:
        """Ask it as its readiness probe does."""
        match self.part:
            case "api":
                return _answers(f"{self.url}/internal/healthz/")
            case "listener":
                return _answers(f"{self.url}/healthz")
            case "worker":
                return self.process.has_logged(f"{self.name}@test ready.")
            case _:
                return self.process.has_logged("beat: Starting")


def _answers(url: str) -> bool:
    try:
        with local_session() as session:
            return session.get(url, timeout=5).ok
    except requests.RequestException:
        return False


class Balancer:
    """Sends each request to one of the ready web servers, and to another one if it is just gone."""

    def __init__(self) -> None:
        self._urls: list[str] = []
        self._turns = itertools.count()
        self.answers: Counter[int] = Counter()

    def add(self, url: str) -> None:
        self._urls = [*self._urls, url]

    def remove(self, url: str) -> None:
        self._urls = [one for one in self._urls if one != url]

    def get(self, path: str, **headers: str) -> requests.Response:
        """Get an answer from whoever is there. Raises RequestException if nobody is."""
        attempts = 3
        while True:
            url = self._urls[next(self._turns) % len(self._urls)]
            try:
                with local_session() as session:
                    answer = session.get(url + path, headers=headers, timeout=30)
            except requests.ConnectionError:
                attempts -= 1
                if not attempts:
                    raise
                continue
            self.answers[answer.status_code] += 1
            return answer


class Deployment(SourcesEnvironment):
    """Two web servers, two workers, a scheduler, a listener."""

    settings = {
        **{entry.period_variable: "0" for entry in ENTRIES},
        "ANALYZE_LOG_SCHEDULE": "2",
        "SWEEP_INBOX_SCHEDULE": "5",
        "RECALCULATE_STALE_USAGE_SCHEDULE": "2",
        # Days on which a customer had no run at all are never stale: they have no row until a pass.
        "RECALCULATE_CONCURRENT_USAGE_FOR_ALL_USERS_SCHEDULE": "5",
        "INBOX_LEASE_SECONDS": "5",
        "INBOX_REQUEUE_SECONDS": "20",
        "CELERY_LOST_WORKER_SECONDS": "10",
        "AWS_CLOUDTRAIL_EVENT_QUEUE_VISIBILITY_TIMEOUT": SECONDS_OF_SQS,
    }

    def _start_processes(self) -> None:
        self._numbered = itertools.count(1)
        self.balancer = Balancer()
        self.pods: list[Pod] = []
        self.product.manage("configurequeues")
        beat = Pod("beat", "beat", self.product.processes()["beat"])
        self._await(beat)
        self.launch("listener", "api", "api", "worker", "worker")

    def _launch(self, part: str) -> Pod:
        name = f"{part}-{next(self._numbered)}"
        if part == "beat":
            return Pod(part, name, self._run(name, BEAT))
        if part == "worker":
            return Pod(part, name, self._run(name, self.worker_command(name)))
        port = free_port()
        url = f"http://{LOOPBACK}:{port}"
        if part == "api":
            place = {"GUNICORN_BIND": f"{LOOPBACK}:{port}"}
            return Pod(part, name, self._run(name, GUNICORN, **place), url)
        place = {"LISTENER_METRICS_PORT": str(port)}
        return Pod(part, name, self._run(name, LISTENER, **place), url)

    def _await(self, pod: Pod) -> None:
        pod.process.wait_until(pod.is_ready, timeout=SECONDS_TO_START)
        self.pods.append(pod)
        if pod.part == "api":
            self.balancer.add(pod.url)

    def of(self, part: str) -> list[Pod]:
        """Return the pods that run now of one kind."""
        return [pod for pod in self.pods if pod.part == part]

    def roll(self, pod: Pod) -> None:
        """Start another one, wait until it is ready, then end this one (RollingUpdate)."""
        self._await(self._launch(pod.part))
        self._end(pod)

    def recreate(self, pod: Pod) -> None:
        """End it, then start another one (Recreate)."""
        self._end(pod)
        self._await(self._launch(pod.part))

    def _end(self, pod: Pod) -> None:
        self.pods.remove(pod)
        self.balancer.remove(pod.url)
        pod.process.request_stop()
        self.wait_for(
            lambda: pod.process.exit_code() is not None, f"{pod.name} has ended", pod.grace
        )
        assert pod.process.exit_code() == 0, pod.process.describe_failure("did not end well")

    def lose(self, pod: Pod) -> None:
        """Kill a worker while it is busy, and start another one."""
        self.wait_for(lambda: _is_busy(pod), f"{pod.name} is busy")
        self.kill(pod.name)
        self.pods.remove(pod)
        self._await(self._launch(pod.part))

    def end_all(self) -> None:
        """End all pods, each within its time."""
        for pod in list(self.pods):
            self._end(pod)

    def launch(self, *parts: str) -> None:
        """Start one more pod of each kind, and wait until they are ready."""
        for pod in [self._launch(part) for part in parts]:
            self._await(pod)

    def metered_customers(self, number: int) -> list[Customer]:
        """Make customers who have been metered for days and have no instance yet."""
        customers = [self.customer_with_account() for _ in range(number)]
        ids = [customer.application_id for customer in customers]
        with self.database() as cursor:
            cursor.execute("DELETE FROM api_instanceevent")
            cursor.execute(_FORGET_INSTANCES, [ids])
            cursor.execute(_METERED_FOR_LONG, [ids])
        return customers

    # What is left to do

    def logs_left(self) -> int:
        """Count the messages on the queue of logs, shown or not."""
        sqs, url = self._log_queue()
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def lose_log_queue(self) -> None:
        """Delete the queue that tells of logs."""
        sqs, url = self._log_queue()
        sqs.delete_queue(QueueUrl=url)

    def _log_queue(self) -> tuple[Any, str]:
        sqs = self.aws.client("sqs")
        name = f"{self.product.environment['CLOUDIGRADE_ENVIRONMENT']}-cloudigrade-cloudtrail-s3"
        return sqs, sqs.get_queue_url(QueueName=name)["QueueUrl"]

    def tasks_left(self) -> list[str]:
        """Name the tasks that are queued or held by a worker, but for those that beat queues."""
        broker, prefix = self.redis(), f"{self.product.environment['CLOUDIGRADE_ENVIRONMENT']}-"
        messages = [json.loads(held)[0] for held in broker.hvals(f"{prefix}unacked")]
        for queue in QUEUE_NAMES:
            messages += [json.loads(one) for one in broker.lrange(f"{prefix}{queue}", 0, -1)]
        names = [message["headers"]["task"] for message in messages]
        return [name for name in names if name not in {entry.task for entry in ENTRIES}]

    def count(self, table: str, condition: str = "true") -> int:
        """Count rows."""
        return self.query(f"SELECT count(*) FROM {table} WHERE {condition}")[0][0]

    def settle(self, *, messages: int, seconds: float = 300.0) -> None:
        """Wait until so many messages of the sources service, and all else, are done with.

        Beat goes on queueing what finds nothing to do.
        """
        deadline = time.monotonic() + seconds
        while left := self._left_to_do(messages):
            assert time.monotonic() < deadline, f"left after {seconds:.0f} s: {left}"
            time.sleep(0.5)

    def _left_to_do(self, messages: int) -> dict[str, Any]:
        processed = self.count("api_inboxmessage", "state = 'processed'")
        left = {
            "messages": max(0, messages - processed),
            "logs": self.logs_left(),
            "stale ranges": self.count("api_staleusage"),
            "outbox entries": self.count("api_outboxentry", "done_at IS NULL"),
            "tasks": self.tasks_left(),
        }
        return {what: found for what, found in left.items() if found}


def _is_busy(pod: Pod) -> bool:
    """Return whether the last that a worker said of its tasks is that it has got one."""
    lines = [line for line in pod.process.log_file.read_text().splitlines() if "| Task " in line]
    return bool(lines) and lines[-1].endswith("] received")
