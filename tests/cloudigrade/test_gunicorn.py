"""The HTTP process (08 §7)."""

import json
import re
import time
from pathlib import Path

import pytest
import requests

from tests.cloudigrade.clowder import CDAPPCONFIG
from tests.cloudigrade.programs import free_port, run

pytestmark = pytest.mark.e2e


def test_requests_headers_and_log(gunicorn, tmp_path):
    url = f"http://127.0.0.1:{(port := free_port())}/no-such-thing"
    _, log = gunicorn(url, GUNICORN_BIND=f"127.0.0.1:{port}", AZURE_CLIENT_SECRET="hunter2")
    response = requests.get(url, timeout=30)
    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})
    request_id = response.headers["X-CLOUDIGRADE-REQUEST-ID"]

    # 08 §26.17: the application sees the one and never hears of the other.
    fits = requests.get(url, headers={"X-RH-IDENTITY": "a" * 16000}, timeout=30)
    assert fits.status_code == 404
    too_big = requests.get(url, headers={"X-RH-IDENTITY": "a" * 17000}, timeout=30)
    assert too_big.status_code in (400, 431)
    assert "X-CLOUDIGRADE-REQUEST-ID" not in too_big.headers

    # A request is logged after its response has gone.
    logged = re.compile(rf'"GET /no-such-thing HTTP/1.1" 404 .* requestid:{request_id}')
    deadline = time.monotonic() + 90
    while not logged.search(text := log.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
    assert f"requestid:{request_id} | Not Found: /no-such-thing" in text
    assert text.count(" | Starting: ") == 1, "the configuration is logged once for all workers"
    assert "AZURE_CLIENT_SECRET present" in text
    assert "SOURCES_PSK absent" in text
    assert "hunter2" not in text
    assert [path for path in tmp_path.iterdir() if path.name.startswith("cloudigrade-metrics")]


def test_nothing_is_left_behind(gunicorn, tmp_path):
    url = f"http://127.0.0.1:{(port := free_port())}/"
    process, _ = gunicorn(url, GUNICORN_BIND=f"127.0.0.1:{port}")
    (metrics,) = tmp_path.glob("cloudigrade-metrics-*")
    assert list(metrics.glob("counter_*.db"))
    process.terminate()
    assert process.wait(90) == 0
    assert not metrics.exists()


def test_a_malformed_number_is_told():
    done = run(
        "gunicorn", "-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi", GUNICORN_WORKERS="x"
    )
    assert done.returncode != 0
    assert "GUNICORN_WORKERS: 'x' is not an integer" in done.stderr


def test_clowder_s_ports(gunicorn, tmp_path):
    web_port, metrics_port = free_port(), free_port()
    config = {**CDAPPCONFIG, "webPort": web_port, "metricsPort": metrics_port}
    path = Path(tmp_path / "cdappconfig.json")
    path.write_text(json.dumps(config))
    gunicorn(f"http://127.0.0.1:{web_port}/", ACG_CONFIG=str(path))
    metrics = requests.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=30)
    assert metrics.status_code == 200
    assert "django_http_requests_before_middlewares_total" in metrics.text
    other = requests.get(f"http://127.0.0.1:{metrics_port}/internal/users/", timeout=30)
    assert other.status_code == 404
    here = requests.get(f"http://127.0.0.1:{web_port}/metrics", timeout=30)
    assert here.status_code == 404
