"""Errors, retries and the login (spec 06 §1.2, §9.10)."""

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
        (401, AzureLoginError),
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


def test_an_azure_that_is_out_of_reach_may_come_back(azure, settings):
    settings.AZURE_ARM_BASE_URL = "https://127.0.0.1:9"
    with pytest.raises(AzureBusyError):
        subscriptions()


@pytest.mark.parametrize("body", ["<html>", "", "null", "[]", '{"value": {}}'])
def test_an_answer_that_is_no_list(azure, body):
    azure.fail("/subscriptions", status=200, body=body)
    with pytest.raises(AzureBusyError):
        subscriptions()


def test_a_list_that_links_to_itself_ends(azure, monkeypatch):
    page = {"value": [1], "nextLink": "https://127.0.0.1/again"}
    monkeypatch.setattr(client.ResourceManager, "_get", lambda *_: page)
    with pytest.raises(AzureBusyError):
        subscriptions()


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
