"""Alert rules (08 §20) against the metrics that exist, and against the runbook."""

import re

import promql_parser
import pytest
import yaml

from deployment.local.service import REPOSITORY

RULES = REPOSITORY / "deployment" / "alerts" / "rules.yaml"
SOURCES = (
    "api/internal/gauges.py",
    "api/sources/inbox_metrics.py",
    "api/sources/listener_metrics.py",
)
OF_DJANGO_PROMETHEUS = {"django_http_responses_total_by_status_total"}


def rules():
    [group] = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return group["rules"]


def metrics_of(expression):
    text = re.sub(r'"[^"]*"', "", expression)
    return set(re.findall(r"\b(?:cloudigrade|django)_\w+", text))


def existing_metrics():
    text = "".join((REPOSITORY / name).read_text() for name in SOURCES)
    own = re.findall(r'_(?:family|single)\(\s*"(\w+)"', text)
    gauges = re.findall(r'^\s+"(\w+_seconds|\w+_total)",$', text, re.MULTILINE)
    return (
        {f"cloudigrade_{name}" for name in (*own, *gauges)}
        | set(re.findall(r'"(cloudigrade_\w+)"', text))
        | OF_DJANGO_PROMETHEUS
    )


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule(rule):
    promql_parser.parse(rule["expr"])
    assert metrics_of(rule["expr"])
    assert metrics_of(rule["expr"]) <= existing_metrics()
    assert rule["labels"]["severity"] in ("low", "medium", "high", "critical")
    assert rule["annotations"]["summary"].endswith(".")


def test_a_wrong_expression_would_be_seen():
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse("sum(rate(x[5m]) >")


def test_the_runbook_knows_every_alert():
    runbook = (REPOSITORY / "docs" / "operations.rst").read_text()
    for rule in rules():
        title = rule["alert"]
        assert f"\n{title}\n{'~' * len(title)}\n" in runbook
