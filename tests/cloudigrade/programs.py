"""Running the product's programs, each in a process and an environment of its own."""

import importlib
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from deployment.local.ports import PortReservation

ROOT = Path(__file__).resolve().parents[2]

PROD = {
    "CLOUDIGRADE_ENVIRONMENT": "stage",
    "DJANGO_SECRET_KEY": "a-secret-key",
    "DJANGO_ALLOWED_HOSTS": "*",
    "DJANGO_DATABASE_NAME": "name",
    "DJANGO_DATABASE_HOST": "host",
    "DJANGO_DATABASE_USER": "user",
    "DJANGO_DATABASE_PASSWORD": "password",
    "AZURE_CLIENT_ID": "a",
    "AZURE_CLIENT_SECRET": "b",
    "AZURE_TENANT_ID": "c",
    "AZURE_SP_OBJECT_ID": "d",
    "AZURE_SUBSCRIPTION_ID": "e",
}

_reservations: list[PortReservation] = []


def environment(module: str, changes: dict[str, str | None]) -> dict[str, str]:
    """An environment with nothing in it but what a deployment needs, and the given changes."""
    variables: dict[str, str | None] = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "DJANGO_SETTINGS_MODULE": f"cloudigrade.settings.{module}",
        "ENV_FILE_PATH": "/no/such/file",
        **(PROD if module == "prod" else {"CLOUDIGRADE_ENVIRONMENT": "stage"}),
        **changes,
    }
    return {name: value for name, value in variables.items() if value is not None}


def run(
    *command: str, module: str = "prod", **changes: str | None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the application's root; None removes a variable."""
    return subprocess.run(
        command,
        env=environment(module, changes),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings_of(module: str, *names: str, **changes: str | None) -> dict[str, Any]:
    """Settings as a fresh process sees them. Raises what loading them raises."""
    return _fresh_processes().submit(_load, environment(module, changes), names).result()


def problems_of(module: str, **changes: str | None) -> str:
    """What a process complains of that cannot start."""
    with pytest.raises(ImproperlyConfigured) as caught:
        settings_of(module, **changes)
    return str(caught.value)


def _load(variables: dict[str, str], names: tuple[str, ...]) -> dict[str, Any]:
    os.environ.clear()
    os.environ.update(variables)
    settings = importlib.import_module(variables["DJANGO_SETTINGS_MODULE"])
    return {name: getattr(settings, name) for name in names}


@cache
def _fresh_processes() -> ProcessPoolExecutor:
    """Processes that have loaded what is slow to load, but nothing of the project."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["celery", "kombu", "pytest", "redis", "sentry_sdk.integrations.celery", "util.sentry"]
    )
    return ProcessPoolExecutor(max_workers=1, mp_context=context, max_tasks_per_child=1)


def free_port() -> int:
    """A port that nobody listens on, and that nobody else is given while the tests run."""
    reservation = PortReservation()
    reservation.release()
    _reservations.append(reservation)
    return reservation.number
