"""Alert rules (08 §20, fault 19) against promtool, the metrics that exist, and the runbook."""

import re
import subprocess
from collections import defaultdict

import promql_parser
import pytest
import yaml

from deployment.local.service import REPOSITORY
from tests.deployment.alert_cases import CASES
from tests.deployment.alert_rules import BY_NAME, existing_metrics, groups, rules
from tests.deployment.alert_series import Case

OUTSIDE_OF_METRICS = r'"[^"]*"|\[[^\]]*\]'


def metrics_of(expression):
    text = re.sub(OUTSIDE_OF_METRICS, "", expression)
    return set(re.findall(r"\b(?:cloudigrade|django)_\w+", text))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule(rule):
    promql_parser.parse(rule["expr"])
    assert metrics_of(rule["expr"])
    assert metrics_of(rule["expr"]) <= existing_metrics()
    assert rule["labels"]["severity"] in ("low", "medium", "high", "critical")
    assert re.search(r"[.}]$", rule["annotations"]["summary"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_keeps_environments_apart(rule):
    """Issue 18, 3: stage neither fires nor hides an alert of production; nor do other services."""
    kept = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
    assert kept
    assert all("namespace" in labels for labels in kept)
    assert not re.search(r"\b(sum|max|min|avg|count|group) ?\((?!.*\bby\b)", rule["expr"])
    for selector in re.findall(r"\bdjango_\w+(\{[^}]*\})?", rule["expr"]):
        assert 'job=~"(.*/)?cloudigrade-api"' in selector


def test_a_wrong_expression_would_be_seen():
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse("sum(rate(x[5m]) >")


def test_the_runbook_knows_every_alert():
    runbook = (REPOSITORY / "docs" / "operations.rst").read_text()
    for rule in rules():
        title = rule["alert"]
        assert f"\n{title}\n{'~' * len(title)}\n" in runbook
        assert rule["annotations"]["runbook_url"].endswith(f"/docs/operations.rst#{title.lower()}")


@pytest.mark.parametrize("alert", BY_NAME)
def test_an_alert_has_a_rule_test(alert):
    """It fires, it does not, and it ends: tests/deployment/alert_cases.py."""
    assert any(
        case.on and min(case.off, default=0) < min(case.on) and max(case.off) > max(case.on)
        for case in CASES
        if case.alert == alert and case.off
    ), f"add cases of {alert} to tests/deployment/alert_cases.py"


def test_every_case_is_of_an_alert():
    assert {case.alert for case in CASES} == set(BY_NAME)


def expected_alert(case: Case):
    rule = BY_NAME[case.alert]

    def rendered(text):
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda m: case.labels.get(m[1], ""), text)

    return {
        "exp_labels": {**case.labels, **rule["labels"]},
        "exp_annotations": {key: rendered(text) for key, text in rule["annotations"].items()},
    }


def rule_test(case: Case):
    expected = defaultdict(list, {minute: [expected_alert(case)] for minute in case.on})
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values} for series, values in case.series.items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": expected[minute]}
            for minute in sorted({*case.on, *case.off})
        ],
    }


@pytest.fixture(scope="session")
def run_rules(promtool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))

    def run(*arguments, case=None):
        if case:
            text = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [case]}
            (folder / "test.yaml").write_text(yaml.safe_dump(text))
        return subprocess.run(
            [promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )

    return run


def test_promtool_accepts_the_rules(run_rules):
    checked = run_rules("check", "rules", "--lint-fatal", "rules.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_an_alert_fires_and_ends(run_rules, case):
    """Issue 14, 19."""
    tested = run_rules("test", "rules", "test.yaml", case=rule_test(case))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_rule_that_never_fires_would_be_seen(run_rules):
    case = Case("CloudigradeProblematicRuns", "no runs", {"up": "1x300"}, on=[200])
    assert run_rules("test", "rules", "test.yaml", case=rule_test(case)).returncode == 1


def test_the_documentation_says_how_many_rules_and_cases_there_are():
    rules = sum(len(group["rules"]) for group in groups())
    text = " ".join((REPOSITORY / "docs" / "operations.rst").read_text().split())
    assert f"SUCCESS: {rules} rules found" in text
    assert f"each of the {len(CASES)} cases" in text
