"""Names and types of our metrics, as Prometheus' own tool judges them."""

import importlib
import pkgutil
import re
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

import api
import util
from api.clouds.aws.cloudtrail import metrics
from api.internal.gauges import SystemCollector
from api.sources import listener_metrics
from util.metrics import own_metrics

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

OTHER_MODULES = re.compile(r"\.management\.|migrations|\.__main__$")
OF_A_TYPE = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}


class Everything:
    """One sample of each metric that the product can tell."""

    def collect(self):
        for package in (api, util):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if not OTHER_MODULES.search(module.name):
                    importlib.import_module(module.name)
        metrics.count_messages([])
        listeners = [
            listener_metrics.LAG,
            listener_metrics.LAST_MESSAGE,
            listener_metrics.HEARTBEAT,
        ]
        families = {
            family.name: family
            for metric in (*own_metrics(), *listeners)
            for family in metric.collect()
        } | {family.name: family for family in SystemCollector().collect()}
        for family in families.values():
            yield self.with_a_sample(family)

    def with_a_sample(self, family):
        sampled = Metric(family.name, family.documentation, family.type)
        for suffix in OF_A_TYPE[family.type]:
            labels = {"le": "+Inf"} if suffix == "_bucket" else {}
            sampled.add_sample(f"{family.name}{suffix}", labels, 1)
        return sampled


def test_promtool_finds_nothing_wrong_with_our_metrics(promtool):
    registry = CollectorRegistry()
    registry.register(Everything())
    text = generate_latest(registry)
    assert text.count(b"# TYPE cloudigrade_") > 30
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout.decode()) == (0, ""), checked.stderr.decode()
    assert checked.stderr == b""


def test_a_bad_name_would_be_seen(promtool):
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=b"# TYPE badMilliseconds gauge\nbadMilliseconds 1\n",
        capture_output=True,
        check=False,
    )
    assert checked.returncode != 0
