"""Bodies, methods, media types and paths (spec 02 §2, §12.7)."""

import json
import string
from urllib.parse import quote

import pytest
from django.db import transaction
from django.urls import include, path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.internal.routes import resource_routes
from tests.api.internal.callers import ANYBODY, B
from tests.api.internal.routes import internal_routes, routes_with_parameters

pytestmark = pytest.mark.django_db

ROUTES = internal_routes()
POSTS = sorted({route for route, method in ROUTES if method == "POST"} - {"/internal/clear_cache/"})
FORM = "application/x-www-form-urlencoded"

# A project without synthetic data.
urlpatterns = [path("internal/api/cloudigrade/v1/", include(resource_routes(synthetic=False)))]


def test_the_root_names_every_list():
    """02 §5."""
    root = ANYBODY.get(f"{B}/").json()
    assert len(root) == 23
    assert root["runs"] == f"http://testserver{B}/runs/"
    assert root["concurrent"] == f"http://testserver{B}/concurrent/"
    assert not {"availability_status", "problematic_runs"} & set(root)


@pytest.mark.urls(__name__)
def test_scenario_34_without_synthetic_data():
    assert ANYBODY.get(f"{B}/syntheticdatarequests/").status_code == 404
    root = ANYBODY.get(f"{B}/").json()
    assert "syntheticdatarequests" not in root
    assert len(root) == 22


@pytest.mark.parametrize(
    "path", [path for path, _ in ROUTES if path.endswith("/") and path != f"{B}/"]
)
def test_a_missing_slash_is_added(path):
    response = ANYBODY.get(f"{path.rstrip('/')}?a=b")
    assert (response.status_code, response["Location"]) == (301, f"{path}?a=b")


@pytest.mark.parametrize(
    "path",
    [
        f"{B}/availability_status/",
        "/internal/metrics/",
        "/internal/openapi.json/",
        "/internal/cdappconfig.json/",
        "/internal/nope/",
        "/internal/",
        f"{B}/nope/",
        f"{B}/runs/1/nope/",
    ],
)
def test_there_is_no_such_path(path):
    response = ANYBODY.get(path)
    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("path", sorted({path for path, _ in ROUTES}))
def test_other_methods_are_refused(path):
    allowed = {method for where, method in ROUTES if where == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
        response = ANYBODY.send(method, path)
        # Whose account it would be is asked before anything else.
        assert response.status_code in ({403} if path.endswith("concurrent/") else {405}), method
        if response.status_code == 405 and response["Content-Type"] == "application/json":
            assert response.json() == {"detail": f'Method "{method}" not allowed.'}
            assert set(response["Allow"].split(", ")) >= allowed


@pytest.mark.parametrize("id", ["9" * 20, "9" * 5000, "1" + "0" * 5000, "1e9", "-1"])
def test_an_id_that_no_row_has_is_not_found(id):
    """Fault 26: however many digits."""
    lists = set(ANYBODY.get(f"{B}/").json()) - {"concurrent"}
    assert len(lists) == 22
    for name in sorted(lists):
        assert ANYBODY.get(f"{B}/{name}/{id}/").status_code == 404, name


@pytest.mark.parametrize("value", ["\0", "\ud800", "\u0663", "a\r\nb", "..", "%", "x" * 20_000])
def test_no_value_in_a_path_is_a_server_error(value, queued, clouds):
    odd = quote(value, safe="", errors="surrogatepass")
    for template in routes_with_parameters():
        # Redis is not there in these tests.
        if "redis_raw" in template or "/tasks/" in template:
            continue
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            response = ANYBODY.send(method, template.format(odd))
            assert 400 <= response.status_code < 500, (method, template)
            assert response["Content-Type"] == "application/json"


def test_every_answer_has_a_request_id():
    for where in (f"{B}/users/", "/internal/nope/", "/internal/livez/"):
        assert len(ANYBODY.get(where)["X-CLOUDIGRADE-REQUEST-ID"]) == 36


@pytest.mark.parametrize("accept", ["text/html", "text/plain", "application/xml"])
def test_only_json_is_sent(accept):
    response = ANYBODY.get(f"{B}/users/", Accept=accept)
    assert response.status_code == 406
    assert response.json() == {"detail": "Could not satisfy the request Accept header."}


AS_CUSTOMER = {"X-RH-CLOUDIGRADE-PSK": "s3cret", "X-RH-CLOUDIGRADE-ORG-ID": "1"}
WITHOUT_BODY = ("reinspect", "delete_cloud_accounts", "migrate_account", "clear_cache")
WITH_BODY = [path for path in POSTS if not any(word in path for word in WITHOUT_BODY)]


@pytest.mark.parametrize("path", WITH_BODY)
class TestBodies:
    """No body makes a route fail."""

    def post(self, path: str, body, **options):
        return ANYBODY.post(path, body, headers=AS_CUSTOMER, **options)

    def test_other_types_are_refused(self, path):
        response = self.post(path, "x", content_type="text/plain")
        assert response.status_code == 415
        assert response.json() == {"detail": 'Unsupported media type "text/plain" in request.'}

    @pytest.mark.parametrize(
        "body",
        [
            "{",
            "",
            b"\xff\xfe",
            '{"a": NaN}',
            '{"a": 1e999}',
            '{"a": Infinity}',
            '{"a": "\\ud800"}',
            "[" * 100_000,
            '{"a":' * 100_000,
            '{"a": ' + "9" * 5000 + "}",
        ],
        ids=lambda body: repr(body)[:16],
    )
    def test_broken_json(self, path, body):
        response = self.post(path, body or " ")
        assert response.status_code == 400
        assert response.json()["detail"].startswith("JSON parse error")

    @pytest.mark.parametrize("body", ["[]", '"x"', "5", "true", "[1, 2]", '[{"a": 1}]'])
    def test_json_that_is_no_object(self, path, body):
        response = self.post(path, body)
        assert response.status_code == 400
        assert list(response.json()) == ["non_field_errors"]

    def test_null_is_no_object_either(self, path):
        assert self.post(path, "null").status_code in (202, 400)

    def test_broken_forms(self, path):
        many = "&".join(f"a{number}=1" for number in range(2000))
        assert self.post(path, many, content_type=FORM).status_code == 400
        broken = self.post(path, "x", content_type="multipart/form-data")
        assert broken.status_code == 400
        odd = self.post(path, "a=1", content_type=f"{FORM}; charset=base64")
        assert odd.status_code in (202, 400)


def test_forms_do_as_well_as_json(queued):
    """02 §2."""
    for content_type, body in (
        (FORM, "cloud_account_id=7&since="),
        (
            "multipart/form-data; boundary=x",
            '--x\r\nContent-Disposition: form-data; name="cloud_account_id"\r\n\r\n7\r\n--x--\r\n',
        ),
    ):
        queued.clear()
        ANYBODY.post("/internal/recalculate_runs/", body, content_type=content_type)
        assert [task.args for task in queued] == [(7, None)]


@pytest.mark.parametrize("charset", ["base64", "rot13", "zlib", "nope"])
def test_odd_charsets_do_not_matter_to_reading(charset):
    response = ANYBODY.send(
        "GET", f"{B}/users/?a=%ff", content_type=f"text/plain; charset={charset}"
    )
    assert response.status_code == 200


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["1", "0", "-1", "2021-06-09", "12", "aws", "azure", "\x00", "\u0661"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
MEMBERS = [
    "source_id", "user_id", "cloud_account_id", "since", "task_name", "kwargs", "event_type",
    "value", "headers", "timeout", "command", "args", "name", "detail", "account_number", "org_id",
    "uuid", "is_permanent", "date_joined", "cloud_type", "account_arn", "subscription_id",
    "platform_authentication_id", "platform_application_id", "platform_source_id", "expires_at",
    "instance_count", "image_rhel_chance", "hours_per_run_mean", "last_run_at",
]  # fmt: skip
FUZZ = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FUZZED = [
    path
    for path in WITH_BODY
    # Errors on request are errors, and Redis is not there in these tests.
    if not any(word in path for word in ("error/", "redis_raw"))
]


@pytest.mark.parametrize("path", FUZZED)
@FUZZ
@given(body=st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES, max_size=5))
def test_no_body_is_a_server_error(path, body, queued, clouds):
    text = json.dumps(body)
    with transaction.atomic():
        response = ANYBODY.post(path, text, headers=AS_CUSTOMER)
        transaction.set_rollback(True)
    assert response.status_code < 500, response.content


QUERY_TEXT = st.text(max_size=12) | st.sampled_from(
    ["1e999999999", "-1e999999999", "NaN", "9" * 30, "0001-01-01T00:00:00+14:00", "9999-12-31",
     "2022-06-01T00:00:00-23:59", "%00", "true", "1.5", "-0", "1_000"]
)  # fmt: skip
PARAMETERS = [
    "account_number", "org_id", "username", "user", "object_id", "platform_source_id", "date",
    "date__lt", "run", "instance", "machineimage", "machine_image", "cloud_account", "memory",
    "vcpu", "memory_mib", "start_time", "end_time__gt", "created_at", "updated_at__lt",
    "running_since", "include_runs", "aws_account_id", "owner_aws_account_id", "subscription_id",
    "status", "event_type", "platform", "limit", "offset", "user_id", "expires_at", "uuid",
    "reference_awsmachineimage", "locked", "date_joined__gt", "start_date", "end_date", "format",
]  # fmt: skip
LISTS = sorted(
    path for path, method in ROUTES if method == "GET" and path.startswith(B) and "/1/" not in path
)


@pytest.mark.parametrize("path", LISTS)
@FUZZ
@given(query=st.dictionaries(st.sampled_from(PARAMETERS), QUERY_TEXT, max_size=4))
def test_no_query_is_a_server_error(path, query):
    with transaction.atomic():
        response = ANYBODY.send("GET", path, query_params=query)
        transaction.set_rollback(True)
    assert response.status_code < 500, response.content


@FUZZ
@given(st.text(alphabet=string.printable, max_size=20), st.text(max_size=20))
def test_no_header_is_a_server_error(psk, identity):
    headers = {
        "X-RH-CLOUDIGRADE-ORG-ID": psk,
        "X-RH-IDENTITY": identity.encode("latin-1", "replace").decode("latin-1"),
    }
    for more in ({}, {"X-RH-CLOUDIGRADE-PSK": "s3cret"}, {"X-RH-CLOUDIGRADE-PSK": identity}):
        response = ANYBODY.send("GET", f"{B}/users/", headers=headers | more)
        assert response.status_code in (200, 403)
