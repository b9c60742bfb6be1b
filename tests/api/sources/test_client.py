"""Asking the sources service (spec 03 §4)."""

import http.server
import json
import threading

import pytest

from api.sources import client
from api.sources.client import SourcesRefusedError, SourcesUnavailableError
from api.sources.messages import Tenant
from util.circuit import Circuit

TENANT = Tenant("1701", "3340851")
OUR_TYPE = {"id": "5", "name": "/insights/platform/cloud-meter"}


@pytest.fixture(autouse=True)
def unknown_application_type():
    client.forget_everything()


@pytest.mark.parametrize(
    ("get", "kind", "path"),
    [
        (client.get_application, "applications", "/api/sources/v3.0/applications/11"),
        (client.get_source, "sources", "/api/sources/v3.0/sources/11"),
        (client.get_authentication, "authentications", "/internal/v1.0/authentications/11"),
    ],
)
def test_get(sources_api, get, kind, path):
    sources_api.add(kind, {"id": "11", "password": "secret"})
    found = get(11, tenant=TENANT)
    assert found["id"] == "11"
    assert ("password" in found) == (kind == "authentications")
    assert get("12", tenant=TENANT) is None
    assert sources_api.received()[0]["path"] == path


@pytest.mark.parametrize(
    ("tenant", "names"),
    [
        (Tenant("1701", None), {"x-rh-sources-account-number"}),
        (Tenant(None, "1"), {"x-rh-sources-org-id"}),
        (TENANT, {"x-rh-sources-account-number", "x-rh-sources-org-id"}),
    ],
)
def test_headers(sources_api, settings, tenant, names):
    client.get_source(1, tenant=tenant)
    sent = sources_api.received()[0]["headers"]
    assert set(sent) == names | {"x-rh-sources-psk"}
    assert sent["x-rh-sources-psk"] == settings.SOURCES_PSK


def test_nothing_is_asked_without_a_key(sources_api, settings):
    settings.SOURCES_PSK = ""
    with pytest.raises(SourcesRefusedError):
        client.get_source(1, tenant=TENANT)
    assert sources_api.received() == []


@pytest.mark.parametrize("status", [500, 502, 503, 429, 301, 204])
def test_unavailable(sources_api, status):
    sources_api.fail("/api", status=status, times=1)
    with pytest.raises(SourcesUnavailableError):
        client.get_source(1, tenant=TENANT)


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_refused(sources_api, status):
    sources_api.fail("/api", status=status, times=1)
    with pytest.raises(SourcesRefusedError):
        client.get_source(1, tenant=TENANT)


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '"text"'])
def test_answers_that_make_no_sense(sources_api, body):
    sources_api.fail("/api", body=body, times=1)
    with pytest.raises(SourcesUnavailableError):
        client.get_source(1, tenant=TENANT)


NOT_OF_SOURCES = {
    "nothing": "",
    "page of an ingress": "<html><body>404 page not found</body></html>",
    "text": "default backend - 404",
    "other object": '{"message": "no Route matched with those values"}',
    "no object": '[{"errors": []}]',
    "errors as text": '{"errors": "not found"}',
    "errors as object": '{"errors": {"detail": "not found"}}',
    "null": "null",
    "cut off": '{"errors": [{"detail": "not fou',
    "endless": '{"errors":' + "[" * 100_000,
}


class TestNotFound:
    """Decision 35: a 404 is believed only if sources said it."""

    @pytest.mark.parametrize(
        "get", [client.get_application, client.get_source, client.get_authentication]
    )
    @pytest.mark.parametrize("body", NOT_OF_SOURCES.values(), ids=NOT_OF_SOURCES)
    def test_answer_of_something_in_between_is_a_failure(self, sources_api, get, body):
        sources_api.fail("/", status=404, body=body, times=1)
        with pytest.raises(SourcesUnavailableError):
            get(1, tenant=TENANT)

    @pytest.mark.parametrize("errors", ["[]", '[{"detail": "not found", "status": "404"}]'])
    def test_answer_of_sources_is_believed(self, sources_api, errors):
        sources_api.fail("/", status=404, body=f'{{"errors": {errors}, "x": 1}}', times=1)
        assert client.get_source(1, tenant=TENANT) is None

    def test_list_is_not_empty_because_something_in_between_says_so(self, sources_api):
        sources_api.fail("/", status=404, times=1)
        with pytest.raises(SourcesUnavailableError):
            client.list_application_authentications(77, tenant=TENANT)


class TestAnotherAnswer:
    """Issue 14, items 7 and 9: what is not an answer to the question is none."""

    @pytest.mark.parametrize(
        "get", [client.get_application, client.get_source, client.get_authentication]
    )
    @pytest.mark.parametrize("identifier", ["2", 2, "11", -1, 1.5, "", [1], {"id": 1}, True])
    def test_another_object(self, sources_api, get, identifier):
        sources_api.fail("/", body=json.dumps({"id": identifier}), times=1)
        with pytest.raises(SourcesUnavailableError):
            get(1, tenant=TENANT)

    @pytest.mark.parametrize("identifier", ["1", 1, None])
    @pytest.mark.parametrize("asked", ["1", 1, "001"])
    def test_the_object_itself(self, sources_api, asked, identifier):
        sources_api.fail("/", body=json.dumps({"id": identifier}), times=1)
        assert client.get_source(asked, tenant=TENANT) == {"id": identifier}

    @pytest.mark.parametrize(
        "page",
        [
            {"data": [], "meta": {"count": 3}},
            {"data": [{"authentication_id": "78"}], "meta": {"count": 1}},
            {"data": [{"authentication_id": "77"}, {"authentication_id": 7}], "meta": {"count": 2}},
            {"data": None},
            {"data": {}},
            {"data": "x"},
            {"data": [None]},
            {"data": [[1]]},
            {"meta": {"count": 1}},
        ],
    )
    def test_a_list_of_others_or_of_nothing(self, sources_api, page):
        sources_api.fail("/", body=json.dumps(page))
        with pytest.raises(SourcesUnavailableError):
            client.list_application_authentications(77, tenant=TENANT)

    @pytest.mark.parametrize("meta", [None, {}, [], {"count": None}, {"count": "5"}, {"count": -1}])
    def test_a_list_without_count(self, sources_api, meta):
        sources_api.fail("/", body=json.dumps({"data": [{"id": 1}], "meta": meta}))
        assert client.list_application_authentications(77, tenant=TENANT) == [{"id": 1}]

    def test_a_list_of_other_types(self, sources_api):
        """A filter that something in between drops must not make us serve another application."""
        other = {"id": "9", "name": "/insights/platform/catalog"}
        sources_api.fail("/", body=json.dumps({"data": [other, OUR_TYPE]}), times=1)
        assert client.application_type_id(tenant=TENANT) == "5"
        client.forget_everything()
        sources_api.fail("/", body=json.dumps({"data": [other]}), times=1)
        with pytest.raises(SourcesUnavailableError):
            client.application_type_id(tenant=TENANT)


def test_list_without_an_end(sources_api, monkeypatch):
    """A sources service that ignores where a page is to begin must not fill our memory."""
    monkeypatch.setattr(client, "MOST_LINKS", 10)
    page = '{"meta": {"count": 1000000000}, "data": [{"id": "1"}, {"id": "2"}]}'
    sources_api.fail("/api", body=page)
    with pytest.raises(SourcesUnavailableError):
        client.list_application_authentications(77, tenant=TENANT)
    assert len(sources_api.received()) == 6


def test_no_connection(settings):
    settings.SOURCES_API_EXTERNAL_BASE_URL = "http://127.0.0.1:1"
    with pytest.raises(SourcesUnavailableError):
        client.get_source(1, tenant=TENANT)


def test_no_answer_in_time(sources_api, settings):
    settings.SOURCES_API_READ_TIMEOUT = 0.1
    sources_api.fail("/api", hang=1, times=1)
    with pytest.raises(SourcesUnavailableError):
        client.get_source(1, tenant=TENANT)


def test_service_that_hangs_is_left_alone_for_a_while(sources_api, settings, monkeypatch):
    """03 §13.3: or all workers would wait for it."""
    monkeypatch.setattr(client, "_circuit", Circuit(silences=2, seconds=60))
    settings.SOURCES_API_READ_TIMEOUT = 0.1
    sources_api.fail("/api", hang=1, times=2)
    for _ in range(3):
        with pytest.raises(SourcesUnavailableError):
            client.get_source(1, tenant=TENANT)
    client._circuit.reset()
    assert client.get_source(1, tenant=TENANT) is None
    assert len(sources_api.received()) == 3


def test_errors_are_answers(sources_api, monkeypatch):
    monkeypatch.setattr(client, "_circuit", Circuit(silences=1, seconds=60))
    sources_api.fail("/api", status=500, times=3)
    for _ in range(3):
        with pytest.raises(SourcesUnavailableError):
            client.get_source(1, tenant=TENANT)
    assert len(sources_api.received()) == 3


def test_ids_cannot_change_the_path(sources_api):
    client.get_source("../applications/5?x", tenant=TENANT)
    assert (
        sources_api.received()[0]["path"] == "/api/sources/v3.0/sources/..%2Fapplications%2F5%3Fx"
    )


def test_nothing_secret_is_logged(sources_api, settings, caplog):
    caplog.set_level("DEBUG", logger="api")
    settings.SOURCES_PSK = "very-secret"
    sources_api.fail("/", status=500, times=1)
    with pytest.raises(SourcesUnavailableError) as raised:
        client.get_authentication(1, tenant=TENANT)
    assert "very-secret" not in caplog.text + str(raised.value)


class TestApplicationType:
    def test_is_asked_once_for_all_tenants(self, sources_api):
        sources_api.add("application_types", OUR_TYPE)
        for tenant in (TENANT, Tenant("2", None)):
            assert client.application_type_id(tenant=tenant) == "5"
        assert len(sources_api.received()) == 1

    def test_is_asked_each_time_if_it_is_not_to_be_remembered(self, sources_api, settings):
        settings.CACHE_TTL_SOURCES_APPLICATION_TYPE_ID = 0
        sources_api.add("application_types", OUR_TYPE)
        for _ in range(2):
            client.application_type_id(tenant=TENANT)
        assert len(sources_api.received()) == 2

    def test_is_text(self, sources_api):
        sources_api.add("application_types", OUR_TYPE | {"id": 12})
        assert client.application_type_id(tenant=TENANT) == "12"

    @pytest.mark.parametrize(
        "fault", [{}, {"status": 404}, {"body": '{"data": null}'}, {"body": '{"data": [{}]}'}]
    )
    def test_unknown_type_is_asked_for_again(self, sources_api, fault):
        if fault:
            sources_api.fail("/api/sources/v3.0/application_types", times=1, **fault)
        with pytest.raises(SourcesUnavailableError):
            client.application_type_id(tenant=TENANT)
        sources_api.add("application_types", OUR_TYPE)
        assert client.application_type_id(tenant=TENANT) == "5"


def test_list_of_an_unknown_authentication(sources_api):
    assert client.list_application_authentications(77, tenant=TENANT) == []
    sources_api.fail("/api", status=404, body='{"errors": []}', times=1)
    assert client.list_application_authentications(77, tenant=TENANT) == []
    assert sources_api.received()[0]["query"] == {"filter[authentication_id]": ["77"]}


def test_our_key_does_not_follow_a_redirect_to_another_place(sources_api, settings):
    """The key belongs to the sources service alone."""
    target = sources_api.base_url

    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", f"{target}/api/sources/v3.0/sources/1")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Redirect)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.SOURCES_API_EXTERNAL_BASE_URL = f"http://127.0.0.1:{server.server_port}"
    sources_api.add("sources", {"id": "1"})
    try:
        # Nor is it believed what another server says.
        with pytest.raises(SourcesUnavailableError):
            client.get_source(1, tenant=TENANT)
        sources_api.fail("/", status=404, body='{"errors": []}', times=1)
        with pytest.raises(SourcesUnavailableError):
            client.get_source(1, tenant=TENANT)
    finally:
        server.shutdown()
        server.server_close()
    assert sources_api.received()[0]["headers"] == {}
