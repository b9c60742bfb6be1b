"""Errors, retries and the login (spec 06 §1.2, §9.10)."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest

from api.clouds.azure import client, describe
from api.clouds.azure.credentials import credential
from api.clouds.azure.errors import (
    AzureBusyError,
    AzureLoginError,
    AzureRefusedError,
    NotFoundError,
)
from api.clouds.provider import TransientCloudError
from tests.api.clouds.azure.conftest import SUBSCRIPTION, calls, forget, machine


def subscriptions() -> list:
    return list(describe.subscriptions())


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_four_times(azure, status):
    azure.fail("/subscriptions", status=status, code="Passing")
    with pytest.raises(AzureBusyError) as raised:
        subscriptions()
    assert isinstance(raised.value, TransientCloudError)
    assert (raised.value.code, raised.value.status) == ("Passing", status)
    assert raised.value.outcome == ("throttled" if status == 429 else "failed")
    assert calls(azure) == ["login", *["S1"] * 4]


def test_what_has_passed_does_no_harm(azure):
    azure.delegate(SUBSCRIPTION)
    azure.fail("/subscriptions", status=503, times=2)
    assert len(subscriptions()) == 1


def test_a_short_wait_is_honoured(azure, monkeypatch):
    waits = []
    transport = "azure.core.pipeline.transport.RequestsTransport.sleep"
    monkeypatch.setattr(transport, lambda self, seconds: waits.append(seconds))
    azure.fail("/subscriptions", status=429, retry_after=17, times=2)
    subscriptions()
    assert waits == [17, 17]


def test_a_long_wait_is_left_to_the_task(azure):
    azure.fail("/subscriptions", status=429, retry_after=21)
    with pytest.raises(AzureBusyError):
        subscriptions()
    assert calls(azure) == ["login", "S1"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, AzureRefusedError),
        (403, AzureRefusedError),
        (404, NotFoundError),
        (409, AzureRefusedError),
    ],
)
def test_what_is_refused_is_not_tried_again(azure, status, error):
    azure.fail("/subscriptions", status=status, code="No")
    with pytest.raises(AzureRefusedError) as raised:
        subscriptions()
    assert type(raised.value) is error
    assert (raised.value.code, raised.value.status, raised.value.outcome) == (
        "No",
        status,
        "denied",
    )
    assert calls(azure) == ["login", "S1"]


def test_what_is_refused_for_its_token_is_tried_again_with_another_one(azure):
    azure.fail("/subscriptions", status=401, code="No")
    with pytest.raises(AzureLoginError) as raised:
        subscriptions()
    assert (raised.value.code, raised.value.status, raised.value.outcome) == ("No", 401, "denied")
    assert calls(azure) == ["login", "S1", "login", "S1"]


def test_an_azure_that_is_out_of_reach_may_come_back(azure, settings):
    settings.AZURE_ARM_BASE_URL = "https://127.0.0.1:9"
    with pytest.raises(AzureBusyError):
        subscriptions()


@pytest.mark.parametrize(
    "body",
    [
        *("<html>", "", "null", "[]", "7", "[" * 100_000, "\ufffd\0"),
        *("{}", '{"value": null}', '{"value": {}}', '{"nextLink": "/subscriptions?x=1"}'),
        *('{"value": [], "nextLink": 7}', '{"value": [], "nextLink": 0}'),
    ],
)
def test_an_answer_that_is_no_list(azure, body):
    """Decision 51: a page without ``value`` is a failed page, never an empty list."""
    azure.fail("/subscriptions", status=200, body=body)
    with pytest.raises(AzureBusyError):
        subscriptions()


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206])
def test_another_success_than_200_is_no_list(azure, status):
    azure.fail("/subscriptions", status=status, body='{"value": []}' if status != 204 else "")
    with pytest.raises(AzureBusyError):
        subscriptions()


def test_a_list_may_begin_with_a_byte_order_mark(azure):
    azure.fail("/subscriptions", status=200, body='\ufeff{"value": [1], "nextLink": ""}')
    assert subscriptions() == [1]


def test_a_list_with_a_byte_order_mark_that_says_it_is_utf8(azure):
    body = '\ufeff{"value": [1]}'
    headers = {"Content-Type": "application/json; charset=utf-8"}
    azure.fail("/subscriptions", status=200, body=body, headers=headers)
    assert subscriptions() == [1]


@pytest.mark.parametrize("entry", [7, "x", None, [1], {}, {"properties": 7}, {"id": [7]}])
@pytest.mark.parametrize("what", [describe.machines, describe.scale_sets, describe.skus])
def test_a_malformed_entry_comes_as_it_is_and_spoils_no_other(azure, what, entry):
    """Decision 33: the SDK's models judge nothing; what an entry lacks, ``transform`` finds out."""
    good = machine("a")
    azure.fail("/subscriptions/", status=200, body={"value": [entry, good]})
    assert list(what(SUBSCRIPTION)) == [entry, good]


@pytest.mark.parametrize("body", [{"value": []}, "null", '"x64"', "7"])
def test_versions_of_an_image_that_are_no_list_spoil_no_other_image(azure, body):
    azure.fail("/versions", status=200, body=body)
    with pytest.raises(AzureRefusedError):
        describe.image_versions(SUBSCRIPTION, location="l", publisher="p", offer="o", sku="s")


@pytest.mark.parametrize("name", ["a/b", "{endpoint}", "%2f", "\u00fc x", "?a=b#c"])
def test_a_name_stays_one_part_of_a_path(azure, name):
    with pytest.raises(AzureRefusedError):
        list(describe.scale_set_machines(SUBSCRIPTION, "rg", name))
    (path,) = [one["path"] for one in azure.requests() if "Compute" in one["path"]]
    resource_group, _, rest = path.partition("/providers/Microsoft.Compute/")
    assert resource_group == f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
    assert rest == f"virtualMachineScaleSets/{quote(name, safe='')}/virtualMachines"


def test_the_sdk_s_clients_are_loaded_where_they_are_needed_and_nowhere_else(azure):
    """Decision record 160: neither an API process nor a worker of other tasks holds them."""
    program = (
        "import sys, cloudigrade.wsgi\n"
        "from cloudigrade.celery import app\n"
        "app.loader.import_default_modules()\n"
        "assert 'api.clouds.azure.tasks.initial_azure_vm_discovery' in app.tasks\n"
        "clients = ('compute', 'resource', 'managedservices')\n"
        "sys.exit(str([one for one in clients if f'azure.mgmt.{one}' in sys.modules] or '') or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    azure.delegate(SUBSCRIPTION)
    assert list(describe.machines(SUBSCRIPTION)) == []
    assert "azure.mgmt.compute" in sys.modules


def test_a_list_that_links_to_itself_ends(azure):
    azure.fail("skip=1", status=200, body={"value": [1], "nextLink": "/subscriptions?skip=1"})
    azure.fail("skip=0", status=200, body={"value": [1], "nextLink": "/subscriptions?skip=1"})
    azure.fail("/subscr", status=200, body={"value": [1], "nextLink": "/subscriptions?skip=0"})
    with pytest.raises(AzureBusyError) as raised:
        subscriptions()
    assert (raised.value.code, raised.value.retry_after) == ("EndlessList", 3600)
    assert calls(azure) == ["login", "S1", "S1", "S1"]


def test_a_list_with_ever_new_links_ends(azure, monkeypatch):
    """Issue 14 item 5: an endless ``nextLink`` ends, and is not asked for again at once."""
    monkeypatch.setattr(client, "MOST_PAGES", 5)
    for number in range(10):
        link = {"value": [number], "nextLink": f"/subscriptions?skip={number}."}
        azure.fail(
            f"skip={number - 1}\\." if number else "/subscriptions\\?api", status=200, body=link
        )
    with pytest.raises(AzureBusyError) as raised:
        subscriptions()
    assert (raised.value.code, raised.value.retry_after) == ("EndlessList", 3600)
    assert calls(azure).count("S1") == 5


def test_a_later_page_that_is_not_found_says_nothing_of_the_list(azure):
    azure.fail("skip=1", status=404, code="NotFound")
    azure.fail("/subscr", status=200, body={"value": [1], "nextLink": "/subscriptions?skip=1"})
    with pytest.raises(AzureRefusedError) as raised:
        subscriptions()
    assert type(raised.value) is AzureRefusedError
    assert (raised.value.code, raised.value.status) == ("NotFound", 404)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "NotFound", "message": "x"}}, "NotFound"),
        ({"error": {"code": "Outer", "details": [{"code": "NotFound"}]}}, "Outer"),
        ({"error": {"code": "Outer", "innererror": {"code": "NotFound"}}}, "Outer"),
        ({"code": "NotFound", "message": "at the top"}, "NotFound"),
        ('\ufeff{"error": {"code": "NotFound"}}', "NotFound"),
        ({"error": "NotFound"}, "404"),
        ({"error": {"code": None}}, "404"),
        ({"error": {"code": 7}}, "404"),
        ({"error": {"error": {"code": "NotFound"}}}, "404"),
        ({"error": None}, "404"),
        ([{"code": "NotFound"}], "404"),
        ("<html><body>404 Not Found</body></html>", "404"),
        ("", "404"),
        ("[" * 100_000, "404"),
        ({"error": {"code": "Bad\0\nforged line"}}, "Bad??forged?line"),
        ({"error": {"code": "x" * 1000}}, "x" * 128),
    ],
)
def test_the_code_of_an_error(azure, body, code):
    """Recorded forms of errors, and such as no Azure ever sent."""
    azure.fail("/subscriptions", status=404, body=body)
    with pytest.raises(NotFoundError) as raised:
        subscriptions()
    assert raised.value.code == code


class TestWaiting:
    """Issue 14 item 5, decision 51: ``Retry-After``."""

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(("header", "seconds"), [("21", 21), ("3600", 3600), ("1e12", 1e12)])
    def test_a_long_one_reaches_the_task(self, azure, status, header, seconds):
        azure.fail("/subscriptions", status=status, retry_after=header)
        with pytest.raises(AzureBusyError) as raised:
            subscriptions()
        assert raised.value.retry_after == seconds
        assert calls(azure) == ["login", "S1"]

    @pytest.mark.parametrize("header", ["soon", "nan", "", "-1", "0"])
    def test_one_that_says_nothing_is_no_reason_to_wait(self, azure, header):
        azure.fail("/subscriptions", status=429, retry_after=header)
        with pytest.raises(AzureBusyError) as raised:
            subscriptions()
        assert not raised.value.retry_after
        assert calls(azure) == ["login", *["S1"] * 4]

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_a_refusal_is_final_whatever_it_says_of_waiting(self, azure, status):
        azure.fail("/subscriptions", status=status, retry_after=1)
        with pytest.raises(AzureRefusedError):
            subscriptions()
        assert calls(azure) == ["login", "S1"]

    def test_of_the_login_server(self, azure):
        azure.fail("oauth2", status=429, retry_after=3600)
        with pytest.raises(AzureBusyError) as raised:
            subscriptions()
        assert (raised.value.status, raised.value.retry_after) == (429, 3600)
        assert raised.value.outcome == "throttled"
        tokens = [one for one in azure.requests() if one["path"].endswith("/token")]
        assert len(tokens) == 1


class Stranger:
    """A server that nobody should ask; it counts those who try."""

    def __init__(self) -> None:
        self.visitors = 0

        class Counting(ThreadingHTTPServer):
            def get_request(counting) -> Any:
                self.visitors += 1
                return super().get_request()

        self.server = Counting(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever, daemon=True).start()


class TestOtherHosts:
    """Issue 14 items 5 and 14: nothing leads us, or our token, to another host."""

    @pytest.fixture
    def stranger(self) -> Iterator[Stranger]:
        stranger = Stranger()
        yield stranger
        stranger.server.shutdown()
        stranger.server.server_close()

    @pytest.fixture(params=["host", "port", "scheme", "user"])
    def elsewhere(self, request, azure, stranger) -> str:
        own = azure.base_url.rpartition(":")[2]
        return {
            # The same server, by another name: it would tell who asked it.
            "host": f"https://localhost:{own}/subscriptions",
            "port": f"https://127.0.0.1:{stranger.port}/subscriptions",
            "scheme": f"http://127.0.0.1:{stranger.port}/subscriptions",
            "user": f"https://127.0.0.1:{own}@127.0.0.1:{stranger.port}/subscriptions",
        }[request.param]

    def check(self, azure, stranger: Stranger) -> None:
        with pytest.raises(AzureBusyError) as raised:
            subscriptions()
        assert raised.value.code == "ForeignLink"
        assert isinstance(raised.value, TransientCloudError)
        assert stranger.visitors == 0
        assert {request["host"] for request in azure.requests()} == {
            azure.base_url.removeprefix("https://")
        }
        assert calls(azure) == ["login", "S1"]

    def test_a_link(self, azure, stranger, elsewhere):
        azure.fail("/subscriptions", status=200, body={"value": [], "nextLink": elsewhere})
        self.check(azure, stranger)

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
    def test_a_redirect(self, azure, stranger, elsewhere, status):
        azure.fail("/subscriptions", status=status, location=elsewhere)
        self.check(azure, stranger)

    @pytest.mark.parametrize("header", ["Location", "Azure-AsyncOperation"])
    def test_a_long_operation(self, azure, stranger, elsewhere, header):
        azure.fail("DELETE", status=202, headers={header: elsewhere})
        with pytest.raises(AzureBusyError):
            describe.delete_assignment(SUBSCRIPTION, "n1")
        assert stranger.visitors == 0
        assert calls(azure) == ["login", "L2"]


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_to_the_own_host(self, azure, status):
        azure.delegate(SUBSCRIPTION)
        azure.fail("/subscriptions", status=status, location="/subscriptions?again=1", times=1)
        assert len(subscriptions()) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
    def test_to_nowhere(self, azure, status):
        azure.fail("/subscriptions", status=status, body='{"value": []}' if status != 304 else "")
        with pytest.raises(AzureBusyError):
            subscriptions()

    @pytest.mark.parametrize("location", ["http://[", "\\\\evil.example", "https://a:b/"])
    def test_to_what_is_no_url(self, azure, location):
        azure.fail("/subscriptions", status=302, location=location)
        with pytest.raises(AzureBusyError):
            subscriptions()

    def test_in_a_circle(self, azure):
        azure.fail("/subscriptions", status=307, location="/subscriptions")
        with pytest.raises(AzureBusyError):
            subscriptions()
        assert calls(azure).count("S1") == 1 + client.MOST_REDIRECTS

    @pytest.mark.parametrize("status", [301, 302])
    def test_a_deletion_that_is_redirected_was_not_done(self, azure, status):
        azure.fail("DELETE", status=status, location="/elsewhere")
        with pytest.raises(AzureBusyError):
            describe.delete_assignment(SUBSCRIPTION, "n1")


class TestLogin:
    def test_one_token_serves_all(self, azure):
        azure.delegate(SUBSCRIPTION, machines=[machine("a")])
        for _ in range(3):
            subscriptions()
            list(describe.machines(SUBSCRIPTION))
        tokens = [one for one in azure.requests() if one["path"].endswith("/token")]
        assert len(tokens) == 1

    @pytest.mark.parametrize("status", [400, 401])
    def test_a_refusal(self, azure, status):
        azure.fail("oauth2", status=status, code="invalid_client")
        with pytest.raises(AzureLoginError):
            subscriptions()

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_an_outage_is_no_refusal_and_not_remembered(self, azure, status):
        azure.fail("oauth2", status=status, times=3)
        with pytest.raises(AzureBusyError):
            subscriptions()
        assert subscriptions() == []

    def test_a_login_server_out_of_reach(self, azure, monkeypatch):
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
        with pytest.raises(AzureBusyError):
            subscriptions()

    def test_without_a_secret(self, azure, monkeypatch):
        monkeypatch.delenv("AZURE_CLIENT_SECRET")
        with pytest.raises(AzureLoginError):
            subscriptions()

    def test_the_certificate_is_checked(self, azure, settings):
        settings.AZURE_CA_BUNDLE = None
        with pytest.raises(AzureBusyError):
            subscriptions()

    def test_a_file_of_authorities_that_is_not_there(self, azure, settings):
        settings.AZURE_CA_BUNDLE = "/nowhere/ca.pem"
        with pytest.raises(AzureBusyError):
            subscriptions()

    def test_the_usual_variable_names_authorities_too(self, azure, settings, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", settings.AZURE_CA_BUNDLE)
        settings.AZURE_CA_BUNDLE = None
        assert subscriptions() == []

    def test_one_credential_a_process(self, azure):
        assert credential() is credential()
        assert client.resource_manager() is client.resource_manager()
        before = credential()
        forget()
        assert credential() is not before
