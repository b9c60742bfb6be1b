"""What is printed when all is up: where things are, what to try, which variables help.

Every line that is printed works as it stands: tests run them (``tests/deployment/test_welcome.py``,
and the demo itself with ``--once``).
"""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import requests

from deployment.local.app import Product
from deployment.local.http import local_session
from deployment.local.local_services import MISLEADING_VARIABLES, LocalServices

PUBLIC = "/api/cloudigrade/v2"
INTERNAL = "/internal/api/cloudigrade/v1"
_CONSOLE = "/internal/console/"
_SYNTHETIC = '{"cloud_type": "aws", "since_days_ago": 3, "instance_count": 5}'


def places(services: LocalServices, product: Product) -> Iterator[tuple[str, str]]:
    """Yield what there is, and where."""
    for service in services.embedded.values():
        yield service.title, service.address
    yield "public API", f"{product.url}{PUBLIC}/"
    yield "  Swagger", f"{product.url}{PUBLIC}/docs/"
    yield "  ReDoc", f"{product.url}{PUBLIC}/redoc/"
    yield "  OpenAPI", f"{product.url}{PUBLIC}/openapi.json"
    yield "internal API", f"{product.url}{INTERNAL}/"
    yield "  OpenAPI", f"{product.url}/internal/openapi.json"
    if _answers(f"{product.url}{_CONSOLE}"):
        yield "console", f"{product.url}{_CONSOLE}"
    yield "health", f"{product.url}/internal/healthz/"
    yield "metrics", f"{product.url}/internal/metrics"
    yield "logs", str(services.surroundings.folder("logs"))


def _answers(url: str) -> bool:
    try:
        with local_session() as session:
            return session.get(url, timeout=10).status_code != requests.codes.not_found
    except requests.RequestException:
        return False


def lines_for_everybody(product: Product) -> list[str]:
    """Return lines for a shell that need no customer."""
    paths = ["/internal/healthz/", "/internal/metrics", f"{INTERNAL}/users/"]
    posted = shlex.quote(_SYNTHETIC)
    return [
        *(f"curl -s {product.url}{path}" for path in paths),
        "curl -s -H 'Content-Type: application/json' -d"
        f" {posted} {product.url}{INTERNAL}/syntheticdatarequests/",
    ]


def lines_of_subscription_watch(product: Product, org_id: str) -> list[str]:
    """Return the two calls that Subscription Watch makes for a customer."""
    return [
        f"PSK={product.psk}",
        'curl -s -H "X-RH-CLOUDIGRADE-PSK: $PSK"'
        f" '{product.url}{INTERNAL}/users/?org_id={org_id}'",
        f'curl -s -H "X-RH-CLOUDIGRADE-PSK: $PSK" -H "X-RH-CLOUDIGRADE-ORG-ID: {org_id}"'
        f" {product.url}{PUBLIC}/concurrent/",
    ]


def lines_of_customer(
    product: Product, name: str, identity: str, paths: Iterable[str]
) -> list[str]:
    """Return lines that read what the public API shows a customer."""
    variable = f"{name.upper()}_IDENTITY"
    return [
        f"{variable}={identity}",
        *(
            f"curl -s -H \"X-RH-IDENTITY: ${variable}\" '{product.url}{PUBLIC}/{path}'"
            for path in paths
        ),
    ]


def write_variables(services: LocalServices, product: Product) -> Path:
    """Write a file to source, after which manage.py finds this environment; return where it is.

    It holds all that the product's processes have and this shell may not have.
    """
    lines = [f"unset {name}" for name in MISLEADING_VARIABLES if name not in product.variables]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in product.variables.items()]
    file = services.surroundings.folder("shell") / "variables.sh"
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n")
    return file


def lines_of_commands(file: Path) -> list[str]:
    """Return lines that use manage.py in this environment."""
    return [f". {file}", ".venv/bin/python manage.py doctor"]
