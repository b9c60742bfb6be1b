"""Metrics (02 §9.1, 08 §10)."""

import os
import subprocess
import sys

from prometheus_client.core import GaugeMetricFamily

from util.metrics import MOST_SERIES, also_on_port, counter, exposition, histogram


class Lengths:
    def collect(self):
        family = GaugeMetricFamily("probe_length", "A length.", labels=["queue_name"])
        family.add_metric(["analyze_log"], 1)
        yield family


class Broken:
    def collect(self):
        yield GaugeMetricFamily("probe_broken", "Half said.")
        raise ConnectionError


def test_a_metric_is_made_once():
    first = counter("probe_seen", "Seen.", ("kind",))
    assert counter("probe_seen", "Seen.", ("kind",)) is first
    first.labels("a").inc()
    histogram("probe_seconds", "Duration.").observe(0.1)
    text = exposition().decode()
    assert 'probe_seen_total{kind="a"} 1.0' in text
    assert "probe_seconds_count 1.0" in text
    assert "python_info" in text


def test_values_of_labels_that_come_from_outside_are_bounded():
    words = counter("probe_words", "Words.", ("word", "language"))
    for number in range(MOST_SERIES + 100):
        words.labels(f"word-{number}", "en").inc()
    words.labels(word="word-1", language="en").inc()
    [family] = words.collect()
    totals = [sample for sample in family.samples if sample.name.endswith("_total")]
    assert len(totals) == MOST_SERIES + 1
    values = {sample.labels["word"]: sample.value for sample in totals}
    assert (values["word-1"], values["other"]) == (2, 100)


def test_collectors_are_asked_and_a_broken_one_costs_its_own_series_only():
    text = exposition(Broken(), Lengths()).decode()
    assert 'probe_length{queue_name="analyze_log"} 1.0' in text
    assert "probe_broken" not in text


PROCESSES = """
import os
from util.metrics import counter, exposition

children = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        counter("probe_seen", "Seen.").inc(2)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
text = exposition().decode()
assert "probe_seen_total 4.0" in text, text
assert "python_info" in text
assert "process_" in text
"""


def test_any_process_answers_for_all(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", PROCESSES], env=environment, check=True)


def test_a_port_for_metrics_only():
    def application(environ, _start_response):
        return [environ["PATH_INFO"].encode()]

    both = also_on_port(
        application, 9000, {"/metrics": "/internal/metrics", "/internal/livez/": "/internal/livez/"}
    )

    def ask(port, path):
        return list(both({"SERVER_PORT": str(port), "PATH_INFO": path}, lambda *_: None))

    assert ask(8000, "/metrics") == [b"/metrics"]
    assert ask(9000, "/metrics") == [b"/internal/metrics"]
    assert ask(9000, "/internal/livez/") == [b"/internal/livez/"]
    assert ask(9000, "/internal/users/") == [b"/not-on-this-port"]
