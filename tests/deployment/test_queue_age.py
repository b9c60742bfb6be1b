"""Workers are scaled by what waits and for how long, not by CPU alone (15 §2; issue of scale)."""

import subprocess
from copy import deepcopy

import promql_parser
import pytest
import yaml

from tests.deployment.alert_rules import BY_NAME, existing_metrics
from tests.deployment.manifests import (
    CLOWDAPP_QUEUE_AGE,
    KUBERNETES,
    deployed,
    documents,
    named,
    of_kind,
    parameters,
    process,
    rendered,
)

COMPONENT = KUBERNETES / "components" / "queue-age"
TASKS = "namespace:cloudigrade_tasks_waiting:sum"
AGE = "namespace:cloudigrade_work_age_seconds:max"
OLDEST = {
    "cloudigrade_inbox_oldest_waiting_seconds",
    "cloudigrade_outbox_oldest_waiting_seconds",
    "cloudigrade_usage_oldest_stale_seconds",
}


def groups():
    [rules] = documents(COMPONENT / "rules.yaml")
    return rules["spec"]["groups"]


@pytest.fixture(scope="module", params=["stage", "prod"])
def overlay(request, tmp_path_factory):
    """An overlay with the component, as a deployer adds it."""
    path = deployed(tmp_path_factory.mktemp("manifests"), request.param) / "kustomization.yaml"
    told = yaml.safe_load(path.read_text())
    told["components"].append("../../components/queue-age")
    path.write_text(yaml.safe_dump(told))
    return rendered(path.parent)


def of_clowder():
    return process(CLOWDAPP_QUEUE_AGE, NAMESPACE="some", PROMETHEUS_URL="http://prometheus:9090")


def triggers(scaled):
    cpu, tasks, age = scaled["spec"]["triggers"]
    assert (cpu["type"], cpu["metricType"], cpu["metadata"]) == (
        *("cpu", "Utilization"),
        {"value": "60"},
    )
    for one in (tasks, age):
        assert (one["type"], one["metricType"]) == ("prometheus", "AverageValue")
    return tasks["metadata"], age["metadata"]


def test_an_overlay_may_have_it_and_asks_for_its_own_namespace(overlay):
    scaled = of_kind(overlay, "ScaledObject")["cloudigrade-worker"]
    namespace = scaled["metadata"]["namespace"]
    assert namespace.startswith("cloudigrade-")
    tasks, age = triggers(scaled)
    assert tasks["query"] == f'{TASKS}{{namespace="{namespace}"}}'
    assert age["query"] == f'{AGE}{{namespace="{namespace}"}}'
    assert scaled["spec"]["scaleTargetRef"]["name"] in of_kind(overlay, "Deployment")
    assert "cloudigrade-queue-age" in of_kind(overlay, "PrometheusRule")


def test_one_autoscaler_remains_under_the_name_that_it_had(overlay):
    assert set(of_kind(overlay, "HorizontalPodAutoscaler")) == {"cloudigrade-api-cpu"}
    scaled = of_kind(overlay, "ScaledObject")["cloudigrade-worker"]["spec"]
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["name"] == "cloudigrade-worker-cpu"


def test_clowder_s_template_says_the_same(overlay):
    [ours] = of_clowder()
    scaled = deepcopy(of_kind(overlay, "ScaledObject")["cloudigrade-worker"])
    annotations = ours["metadata"]["annotations"]
    assert annotations == {"scaledobject.keda.sh/transfer-hpa-ownership": "true"}
    for one in (*triggers(ours), *triggers(scaled)):
        one["query"] = one["query"].partition("{")[0]
        del one["serverAddress"]
    assert ours["spec"] == scaled["spec"]
    defaults = parameters()
    for name, value in parameters(CLOWDAPP_QUEUE_AGE).items():
        assert value == defaults.get(name, ""), name
    taken = named(
        process(ENV_NAME="a", IMAGE_TAG="b"), "HorizontalPodAutoscaler", "cloudigrade-worker-cpu"
    )
    assert taken["spec"]["scaleTargetRef"] == ours["spec"]["scaleTargetRef"]


def test_all_workers_run_before_somebody_is_called():
    [ours] = of_clowder()
    most = ours["spec"]["maxReplicaCount"]
    tasks, age = triggers(ours)
    for limit, alert in ((tasks, "CloudigradeTasksWait"), (age, "CloudigradeUsageIsStale")):
        called_at = int(BY_NAME[alert]["expr"].rpartition("> ")[2])
        assert int(limit["threshold"]) * most < called_at


def test_the_rules_are_of_metrics_that_exist():
    [group] = groups()
    assert [rule["record"] for rule in group["rules"]] == [TASKS, AGE]
    for rule in group["rules"]:
        promql_parser.parse(rule["expr"])
    assert {"cloudigrade_celery_queue_length", *OLDEST} <= existing_metrics()


def rule_test(queue, age, waiting, counted):
    """What is recorded of two pods that tell the same, while another namespace is worse off."""
    series = {
        'cloudigrade_celery_queue_length{namespace="a",pod="1",queue_name="x"}': queue,
        'cloudigrade_celery_queue_length{namespace="a",pod="2",queue_name="x"}': queue,
        'cloudigrade_celery_queue_length{namespace="a",pod="1",queue_name="y"}': queue,
        'cloudigrade_outbox_oldest_waiting_seconds{namespace="a",pod="1"}': 0,
        'cloudigrade_inbox_oldest_waiting_seconds{namespace="a",pod="1"}': age,
        'cloudigrade_usage_oldest_stale_seconds{namespace="b",pod="1"}': 9999,
        'cloudigrade_celery_queue_length{namespace="b",pod="1",queue_name="x"}': 9999,
    }
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{one}x9"} for name, one in series.items()],
        "promql_expr_test": [
            {
                "expr": f'{name}{{namespace="a"}}',
                "eval_time": "5m",
                "exp_samples": [{"labels": f'{name}{{namespace="a"}}', "value": value}],
            }
            for name, value in ((TASKS, waiting), (AGE, counted))
        ],
    }


def test_age_counts_only_while_tasks_wait(promtool, tmp_path):
    """Otherwise all workers would run for as long as sources or a cloud is away."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    cases = [rule_test(30, 240, 60, 240), rule_test(0, 240, 0, 0)]
    text = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(text))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
