"""What Sentry gets (08 §6.7, §9)."""

import logging

import pytest

from util.sentry import MASK, parse_rates, task_sampler, view_sampler, without_secrets


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
