"""The page of metrics as a scrape reads it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.internal import gauges, metrics
from tests.api.internal.callers import ANYBODY


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    """Gauges are looked up anew for each test."""
    monkeypatch.setattr(metrics, "_system", gauges.SystemCollector())


def scrape() -> dict[str, dict[tuple, float]]:
    """Read the page: by the samples' names, from the values of their labels to their values."""
    response = ANYBODY.get("/internal/metrics")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(response.content.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return samples
