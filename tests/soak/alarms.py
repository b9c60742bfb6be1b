"""Which alerts' conditions held during a soak, from the product's own metrics and rules.

Read are the rules that compare one gauge, or what a counter rose by, with a limit; for how long a
condition has to hold (``for``), which is longer than most soaks, is left to promtool's tests
(``tests/deployment/test_alerts.py``). Rules of another form are not judged, only named.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deployment.local.http import local_session
from deployment.local.service import REPOSITORY

RULES = REPOSITORY / "deployment" / "alerts" / "rules.yaml"

_METRIC = r'(?P<metric>cloudigrade_\w+)(?:\{(?P<label>\w+)="(?P<value>\w+)"\})?'
_GAUGE = re.compile(rf"max by \([\w, ]+\) \({_METRIC}\) > (?P<limit>\d+)")
_RISE = re.compile(rf"max by \([\w, ]+\) \(increase\({_METRIC}\[\w+\]\)\) > (?P<limit>\d+)")

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True)
class Condition:
    """When an alert's condition holds: a metric, of one label's value if told, above a limit."""

    alert: str
    metric: str
    label: tuple[str, str] | None
    limit: float
    rises: bool

    def values(self, samples: Samples) -> dict[Any, float]:
        """Return the values of its series."""
        return {
            labels: value
            for (name, labels), value in samples.items()
            if name == self.metric and (self.label is None or self.label in labels)
        }


def conditions(rules: Iterable[Mapping[str, Any]]) -> Iterator[Condition]:
    """Yield the conditions of those rules that have one of the two forms."""
    for rule in rules:
        for form in (_GAUGE, _RISE):
            if found := form.fullmatch(rule["expr"].strip()):
                label = (found["label"], found["value"]) if found["label"] else None
                limit = float(found["limit"])
                yield Condition(rule["alert"], found["metric"], label, limit, form is _RISE)


def all_rules() -> list[dict[str, Any]]:
    """Return the product's alert rules."""
    [group] = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def read(text: str) -> Samples:
    """Return the samples of a scrape."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Alarms:
    """Scrapes now and then, and keeps how often each condition held."""

    def __init__(self, url: str, rules: Iterable[Mapping[str, Any]] | None = None) -> None:
        rules = list(all_rules() if rules is None else rules)
        self._url = f"{url}/internal/metrics"
        self._conditions = list(conditions(rules))
        judged = {one.alert for one in self._conditions}
        self.not_judged = sorted({rule["alert"] for rule in rules} - judged)
        self.held: dict[str, int] = defaultdict(int)
        self.scrapes = 0
        self._first: dict[Any, float] = {}

    def scrape(self) -> set[str]:
        """Return the alerts whose condition holds now; nothing if nobody answers."""
        with suppress(requests.RequestException), local_session() as session:
            answer = session.get(self._url, timeout=10)
            if answer.ok:
                return self.look(read(answer.text))
        return set()

    def look(self, samples: Samples) -> set[str]:
        """Return the alerts whose condition holds in a scrape, and count them."""
        self.scrapes += 1
        on = {one.alert for one in self._conditions if self._holds(one, samples)}
        for alert in on:
            self.held[alert] += 1
        return on

    def _holds(self, condition: Condition, samples: Samples) -> bool:
        values = condition.values(samples)
        if not condition.rises:
            return max(values.values(), default=0.0) > condition.limit
        # A series that comes later began at nothing.
        known = {
            labels: self._first.setdefault(
                (condition.metric, labels), value if self.scrapes == 1 else 0.0
            )
            for labels, value in values.items()
        }
        return any(values[labels] - known[labels] > condition.limit for labels in values)

    def report(self, on: Iterable[str]) -> dict[str, Any]:
        """Return what was seen."""
        return {
            "scrapes": self.scrapes,
            "judged": len(self._conditions),
            "held in scrapes": dict(sorted(self.held.items())),
            "on at the end": sorted(on),
            "not judged": self.not_judged,
        }
