"""Running the product's programs, each in a process and an environment of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

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

_SHOW = """
import json, sys
from django.conf import settings
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""


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
    """Settings as a process sees them."""
    done = run(sys.executable, "-c", _SHOW, *names, module=module, **changes)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def problems_of(module: str, **changes: str | None) -> str:
    """What a process complains of that cannot start."""
    done = run(sys.executable, "-c", _SHOW, "DEBUG", module=module, **changes)
    assert done.returncode != 0, done.stdout
    return done.stderr.partition("ImproperlyConfigured: ")[2]
