"""The product's own processes, started with the commands of its deployment (spec 08 §14.2)."""

import dataclasses
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

from cloudigrade.task_names import QUEUE_NAMES
from deployment.local.aws import AwsControl
from deployment.local.http import local_session
from deployment.local.local_services import MISLEADING_VARIABLES, LocalServices
from deployment.local.ports import LOOPBACK, PortReservation
from deployment.local.process import LocalServiceError, ManagedProcess, stop_together
from deployment.local.service import REPOSITORY

_SECONDS_TO_MIGRATE = 120.0
_SECONDS_TO_START = 90.0

# How the product is set up locally, unless the environment says otherwise.
_DEFAULTS = {
    "CLOUDIGRADE_ENVIRONMENT": "local",
    "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.local",
    "DJANGO_DEBUG": "false",
    "ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API": "true",
    "PYTHONUNBUFFERED": "1",
}


@dataclasses.dataclass(frozen=True)
class _Part:
    """One process of the deployment and how to see that it is up."""

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[ManagedProcess], bool]


class Product:
    """Web server, worker, scheduler and listener, on the services of a local environment.

    ``settings`` are further environment variables for all of them.
    """

    def __init__(
        self, services: LocalServices, *, settings: Mapping[str, str] | None = None
    ) -> None:
        self._services = services
        self._reservation = PortReservation()
        self.port = self._reservation.number
        self.psk = secrets.token_hex(16)
        #: What leads a process here: all that may differ from a shell's environment.
        self.variables = self._make_variables(settings or {})
        self.environment = self._make_environment()
        self._processes: dict[str, ManagedProcess] = {}

    @property
    def url(self) -> str:
        """The base URL of the web server."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self, *names: str) -> None:
        """Migrate the database, then start the named processes, by default all, and wait for them.

        Raises LocalServiceError naming the process that failed, after stopping all.
        """
        parts = [part for part in self._parts() if not names or part.name in names]
        try:
            self._prepare_aws_account()
            self._migrate()
            self._reservation.release()
            for part in parts:
                self._processes[part.name] = self._spawn(part.name, part.command)
            for part in parts:
                process = self._processes[part.name]
                process.wait_until(
                    lambda part=part, process=process: part.is_ready(process),  # type: ignore[misc]
                    timeout=_SECONDS_TO_START,
                )
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raise LocalServiceError if one of the processes has ended by itself."""
        for process in self._processes.values():
            if (code := process.exit_code()) is not None:
                raise LocalServiceError(process.describe_failure(f"ended with exit code {code}"))

    def processes(self) -> dict[str, ManagedProcess]:
        """Return the running processes by name."""
        return dict(self._processes)

    def manage(self, *arguments: str, timeout: float = _SECONDS_TO_MIGRATE) -> None:
        """Run a management command to its end.

        Raises LocalServiceError if it fails.
        """
        process = self._spawn(f"manage-{arguments[0]}", (sys.executable, "manage.py", *arguments))
        try:
            process.wait_for_success(timeout=timeout)
        finally:
            process.stop()

    def stop(self) -> None:
        """Stop all processes. May be repeated."""
        self._reservation.release()
        stop_together(self._processes.values())
        self._processes.clear()

    def _make_variables(self, settings: Mapping[str, str]) -> dict[str, str]:
        chosen = {name: os.environ.get(name, value) for name, value in _DEFAULTS.items()}
        return {
            **chosen,
            "DJANGO_SETTINGS_MODULE": _DEFAULTS["DJANGO_SETTINGS_MODULE"],
            "CLOUDIGRADE_PSKS": json.dumps({"subscription-watch": self.psk}),
            **self._services.env,
            "GUNICORN_BIND": f"{LOOPBACK}:{self.port}",
            "CELERY_QUEUE_NAMES": ",".join(QUEUE_NAMES),
            **settings,
        }

    def _make_environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if name not in MISLEADING_VARIABLES
        }
        own_programs = str(Path(sys.executable).parent)
        path = f"{own_programs}{os.pathsep}{inherited.get('PATH', os.defpath)}"
        return {**inherited, "PATH": path, **self.variables}

    def _prepare_aws_account(self) -> None:
        """Create in a fake AWS what playbooks create in a real one."""
        if "aws" in self._services.embedded:
            control = AwsControl(self._services.env["AWS_ENDPOINT_URL"])
            control.provision_primary_account(self.environment["CLOUDIGRADE_ENVIRONMENT"])
            control.close()

    def _migrate(self) -> None:
        self.manage("migrate", "--no-input")

    def _parts(self) -> list[_Part]:
        return [
            _Part(
                "api",
                ("gunicorn", "-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"),
                self._serves,
            ),
            _Part(
                "worker",
                (
                    *("celery", "--app", "cloudigrade", "worker", "--loglevel", "info"),
                    *("--pool", "solo", "--without-gossip", "--without-mingle"),
                    *("--concurrency", "1", "--task-events"),
                    *("--queues", self.environment["CELERY_QUEUE_NAMES"]),
                ),
                lambda worker: worker.has_logged(" ready."),
            ),
            _Part(
                "beat",
                (
                    *("celery", "--app", "cloudigrade", "beat", "--loglevel", "info"),
                    *("--pidfile=", "--scheduler"),
                    "django_celery_beat.schedulers:DatabaseScheduler",
                ),
                lambda beat: beat.has_logged("beat: Starting"),
            ),
            _Part(
                "listener",
                ("python", "./manage.py", "listen_to_sources"),
                # It says nothing before its first message; Kafka keeps the messages meanwhile.
                lambda listener: listener.exit_code() is None,
            ),
        ]

    def _spawn(self, name: str, command: tuple[str, ...]) -> ManagedProcess:
        surroundings = self._services.surroundings
        process = ManagedProcess(
            name=name,
            command=command,
            log_file=surroundings.log_file(name),
            watchdog=surroundings.watchdog,
            # What a process leaves behind that was killed goes with the rest.
            environment={**self.environment, "TMPDIR": str(surroundings.folder("tmp"))},
            directory=REPOSITORY,
        )
        process.start()
        return process

    def _serves(self, _: ManagedProcess) -> bool:
        try:
            with local_session() as session:
                return session.get(f"{self.url}/internal/healthz/", timeout=5).ok
        except requests.RequestException:
            return False
