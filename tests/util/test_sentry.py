"""What Sentry gets (08 §6.7, §9)."""

import logging

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from util import redaction
from util.redaction import MASK
from util.sentry import parse_rates, set_up, task_sampler, view_sampler, without_secrets


def test_rates_may_be_numeric_text():
    """08 §26.23."""
    rates = parse_rates("RATES", {"api.tasks.enable_account": "0.5", "other": 1})
    sampler = task_sampler(rates, 0.1)
    assert sampler({"celery_job": {"task": "api.tasks.enable_account"}}) == 0.5
    assert sampler({"celery_job": {"task": "api.tasks.enable_account_2"}}) == 0.1
    assert sampler({}) == 0.1


@pytest.mark.parametrize("rate", ["1.5", -0.1, "much", None, True, [], "nan"])
def test_other_rates_are_refused(rate):
    with pytest.raises(ValueError, match="RATES: the rate of name is not"):
        parse_rates("RATES", {"name": rate})


def sample(sampler, path):
    return sampler({"wsgi_environ": {"PATH_INFO": path}})


def test_requests_go_by_their_view_s_path(caplog):
    sampler = view_sampler({"rest_framework:login": 0.5, "no-such-view": 0.7}, 0.1)
    assert sample(sampler, "/api-auth/login/") == 0.5
    assert sample(sampler, "/api-auth/login") == 0.5
    assert sample(sampler, "/api-auth/logout/") == 0.1
    assert sample(sampler, "") == 0.1
    assert sampler({}) == 0.1
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage().rpartition(" ")[2] for record in warnings] == ["no-such-view"]


def test_secrets_are_masked():
    headers = {
        "X-RH-IDENTITY": "a",
        "X-Rh-Cloudigrade-Psk": "b",
        "authorization": "c",
        "Accept": "d",
    }
    event = without_secrets({"request": {"headers": headers}}, {})
    assert event["request"]["headers"] == {
        "X-RH-IDENTITY": MASK,
        "X-Rh-Cloudigrade-Psk": MASK,
        "authorization": MASK,
        "Accept": "d",
    }
    assert without_secrets({}, {}) == {}


class Memory(Transport):
    """Keeps what would be sent."""

    def __init__(self, options=None):
        super().__init__(options)
        self.sent = []

    def capture_envelope(self, envelope):
        self.sent.append(envelope.serialize().decode())


@pytest.fixture
def sentry_transport(monkeypatch):
    """Report to memory; nothing of it is left afterwards."""
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_pattern", redaction._pattern)
    memory = Memory()
    with sentry_sdk.isolation_scope() as scope:
        before = scope.client
        set_up(
            dsn="http://public@localhost/1",
            environment="test",
            release="1",
            sampler=lambda _: 1.0,
            integrations=[],
            transport=memory,
        )
        yield memory
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
        scope.set_client(before if before.is_active() else None)


def test_an_error_report_has_no_local_variables_and_no_secrets(sentry_transport):
    """Fault 13: neither the variables of any frame, nor the secrets in texts."""
    redaction.remember(["hunter2-hunter2"])

    def fail(pre_shared_key):
        local_variable = pre_shared_key[::-1]
        raise ValueError(f"refused: {pre_shared_key} {len(local_variable)}")

    logging.getLogger("api.probe").warning("before: %s", "hunter2-hunter2")
    try:
        fail("hunter2-hunter2")
    except ValueError as error:
        sentry_sdk.capture_exception(error)
    sentry_sdk.flush()
    text = "".join(sentry_transport.sent)
    assert "ValueError" in text
    assert MASK in text
    assert "hunter2" not in text
    assert "2retnuh" not in text
    assert '"vars"' not in text


def test_a_request_s_body_and_cookies_are_not_reported():
    event = {"request": {"data": {"secret": "a"}, "cookies": {"sessionid": "b"}, "url": "/x"}}
    assert without_secrets(event, {}) == {"request": {"url": "/x"}}
