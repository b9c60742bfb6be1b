"""Who may use which route (spec 02 §3, §12.1; README decisions 12 and 19)."""

import base64
import logging

import pytest

from tests.api.internal.callers import (
    ANYBODY,
    ASSOCIATE,
    B,
    Caller,
    associate,
    customer,
    identity,
    service,
)
from tests.api.internal.routes import internal_routes
from tests.factories import make_user

pytestmark = pytest.mark.django_db

REFUSED = {"detail": "Incorrect authentication credentials."}
BAD_PSK = {"detail": "Authentication Failed: Invalid PSK specified in header"}
BAD_IDENTITY = {"detail": "Authentication Failed: invalid identity header failed parsing."}

ROUTES = internal_routes()
ALWAYS_OPEN = {
    "/internal/healthz/",
    "/internal/livez/",
    "/internal/readyz/",
    "/internal/metrics",
    "/internal/openapi.json",
}
CLOSABLE = [route for route in ROUTES if route[0] not in ALWAYS_OPEN]
OF_CUSTOMERS = {(f"{B}/concurrent/", "GET"), (f"{B}/accounts/", "POST")}
ROOT = (f"{B}/", "GET")


def ids(routes):
    return [f"{method} {path}" for path, method in routes]


def test_every_route_of_the_chapter_is_there():
    assert len(ROUTES) == len(set(ROUTES))
    assert {path for path, _ in ROUTES} >= {
        *ALWAYS_OPEN,
        f"{B}/",
        f"{B}/availability_status",
        f"{B}/problematic_runs/",
        f"{B}/concurrent/",
        f"{B}/machineimages/1/reinspect/",
        "/internal/cdappconfig.json",
        "/internal/redis_raw/",
        "/internal/tasks/id/",
        "/internal/cache/key/",
    }
    resources = {path.split("/")[5] for path, _ in ROUTES if path.endswith("/1/")}
    # What came on top is not named by the root (spec 10).
    assert len(resources & set(ANYBODY.get(f"{B}/").json())) == 22


@pytest.mark.parametrize(("path", "method"), CLOSABLE, ids=ids(CLOSABLE))
class TestClosed:
    """``INTERNAL_API_REQUIRE_AUTH`` is set."""

    @pytest.fixture(autouse=True)
    def closed(self, settings):
        settings.INTERNAL_API_REQUIRE_AUTH = True

    @pytest.mark.parametrize(
        "caller",
        [
            ANYBODY,
            Caller({"X-RH-IDENTITY": identity(type="User")}),
            Caller({"X-RH-INTERNAL-FAKE-IDENTITY": ASSOCIATE}),
        ],
        ids=["nobody", "somebody without numbers", "fake associate"],
    )
    def test_strangers_are_refused(self, path, method, caller):
        response = caller.send(method, path, {})
        assert response.status_code == 403
        assert response.json()["detail"].startswith(("Incorrect", "Authentication Failed"))
        assert "WWW-Authenticate" not in response

    def test_customers_are_refused_but_by_the_check_of_sources(self, path, method):
        make_user(account_number="100001")
        response = customer(account_number="100001").send(method, path, {})
        if path == f"{B}/availability_status":
            assert response.status_code == 400
        else:
            assert (response.status_code, response.json()) == (403, REFUSED)

    def test_wrong_keys_and_broken_identities_are_refused(self, path, method):
        wrong = service("wrong").send(method, path, {})
        assert (wrong.status_code, wrong.json()) == (403, BAD_PSK)
        broken = Caller({"X-RH-IDENTITY": "!!!"}).send(method, path, {})
        assert (broken.status_code, broken.json()) == (403, BAD_IDENTITY)


def _is_let_in(response) -> bool:
    return response.status_code != 403


# Routes that would do something, or fail, even with an empty body.
DOING = ("clear_cache", "migrate_account", "not_in_sources", "recalculate", "redis_raw", "tasks/id")
HARMLESS = [
    route
    for route in CLOSABLE
    if route not in OF_CUSTOMERS and not any(word in route[0] for word in DOING)
]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(("path", "method"), HARMLESS, ids=ids(HARMLESS))
def test_services_and_associates_may_use_everything(path, method, required, settings):
    settings.INTERNAL_API_REQUIRE_AUTH = required
    assert _is_let_in(service().send(method, path, {}))
    assert _is_let_in(associate().send(method, path, {}))


@pytest.mark.parametrize(("path", "method"), HARMLESS, ids=ids(HARMLESS))
def test_by_default_anybody_may(path, method):
    for caller in (ANYBODY, customer(account_number="999"), customer()):
        assert _is_let_in(caller.send(method, path, {}))


@pytest.mark.parametrize(("path", "method"), CLOSABLE, ids=ids(CLOSABLE))
def test_a_broken_identity_is_refused_everywhere_but_on_open_routes(path, method):
    broken = Caller({"X-RH-IDENTITY": "!!!"}).send(method, path, {})
    wrong = service("").send(method, path, {})
    if (path, method) == ROOT:
        assert (broken.status_code, wrong.status_code) == (200, 200)
    else:
        assert (broken.status_code, broken.json()) == (403, BAD_IDENTITY)
        assert (wrong.status_code, wrong.json()) == (403, BAD_PSK)


@pytest.mark.parametrize("path", ["/internal/livez/", "/internal/openapi.json"])
def test_probes_and_the_document_stay_open(path, settings):
    settings.INTERNAL_API_REQUIRE_AUTH = True
    for caller in (ANYBODY, service("wrong"), Caller({"X-RH-IDENTITY": "!!!"})):
        assert caller.get(path).status_code == 200


@pytest.mark.parametrize(
    "document",
    ["[]", "null", '"x"', '{"identity": null}', '{"identity": []}', '{"identity": "x"}'],
)
def test_identities_that_are_no_objects(document):
    """02 §12.7."""
    caller = Caller({"X-RH-IDENTITY": base64.b64encode(document.encode()).decode()})
    response = caller.get(f"{B}/users/")
    assert (response.status_code, response.json()) == (403, BAD_IDENTITY)


@pytest.mark.parametrize("user", [None, [], "x", {}])
def test_nothing_of_the_identity_s_user_is_needed(user):
    """02 §11, §12.7: neither org-admin nor the member itself."""
    assert customer(account_number="1", user=user).get(f"{B}/users/").status_code == 200


def test_a_closed_api_lets_sources_ask_for_a_check(story, settings, queued):
    settings.INTERNAL_API_REQUIRE_AUTH = True
    for caller in (customer(org_id="any"), service(), associate()):
        response = caller.post(f"{B}/availability_status", {"source_id": "5"})
        assert response.status_code == 204
    assert customer().post(f"{B}/availability_status", {"source_id": "5"}).status_code == 403


def test_in_a_closed_api_associates_look_through_customers_eyes(story, settings):
    settings.INTERNAL_API_REQUIRE_AUTH = True
    assert service(org_id="200002").get(f"{B}/concurrent/").status_code == 200
    # The fake identity stands in for the associate's own, on this route as on no other.
    assert associate(account_number="100001").get(f"{B}/concurrent/").status_code == 200
    pretender = Caller(
        {"X-RH-INTERNAL-FAKE-IDENTITY": identity(type="Associate", account_number="100001")}
    )
    assert pretender.get(f"{B}/concurrent/").json() == REFUSED


def test_each_write_leaves_a_line(story, caplog, queued):
    """02 §12.1: who, what, and with which result; nothing secret."""
    with caplog.at_level(logging.INFO, "api.internal.views"):
        associate().delete(f"{B}/usertasklocks/{story.user1.task_lock.id}/")
        service().post("/internal/tasks/", {"task_name": "api.tasks.potato\nx"})
        customer(account_number="1").post("/internal/cache/a%0Ab/", {"value": "precious"})
        service("wrong").post("/internal/clear_cache/")
        ANYBODY.get(f"{B}/users/")
    lines = [record.getMessage() for record in caplog.records if "Audit" in record.msg]
    assert len(lines) == 4
    assert lines[0].startswith("Audit: DELETE /internal/api/cloudigrade/v1/usertasklocks/")
    assert lines[0].endswith("by associate 'J D': 204")
    assert lines[1].endswith("by service 'svc': 400")
    assert "customer (account '1', org None)" in lines[2]
    assert lines[3].endswith("by anonymous: 403")
    assert not any("\n" in line or "precious" in line or "s3cret" in line for line in lines)
