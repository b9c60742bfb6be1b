"""gunicorn's configuration (spec 08 §7). Its names are gunicorn's."""

import atexit
import os
import shutil
import socket
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings

from cloudigrade.settings.environment import clowder, env
from cloudigrade.start_up import log_configuration
from util.hang_up import watch_clients
from util.kept_connections import look_before_asking
from util.transaction_limits import limit_transactions

DEFAULT_PORT = 8080


def _bind() -> list[str]:
    """Return the addresses.

    What is asked for, or Clowder's web port and, if it is free, metrics port.
    """
    if env("GUNICORN_BIND"):
        return [env("GUNICORN_BIND")]
    port = (clowder and clowder.web_port) or DEFAULT_PORT
    metrics_port = clowder.metrics[0] if clowder and clowder.metrics else port
    ports = [port, metrics_port] if metrics_port != port and _is_free(metrics_port) else [port]
    return [f"0.0.0.0:{number}" for number in ports]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104
        except OSError:
            return False
    return True


def _metrics_folder() -> Path:
    """Return the empty folder through which the workers share their metrics."""
    given = env("PROMETHEUS_MULTIPROC_DIR")
    folder = Path(given or tempfile.mkdtemp(prefix="cloudigrade-metrics-"))
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("*.db"):
        leftover.unlink()
    if not given:
        atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    # The workers inherit this hook, but not the folder.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


# A configuration that cannot work ends the master here, with one message, and not each worker.
settings.INSTALLED_APPS  # noqa: B018

bind = _bind()
worker_class = "util.http_worker.BufferingThreadWorker"
workers = env("GUNICORN_WORKERS")
threads = env("GUNICORN_THREADS")
timeout = env("GUNICORN_TIMEOUT")
# Longer than proxies keep theirs, so that no request meets a connection that is being closed.
keepalive = 75
# Below the 30 seconds that Kubernetes grants a pod.
graceful_timeout = 25
max_requests = env("GUNICORN_MAX_REQUESTS")
max_requests_jitter = max_requests // 10
# Loaded once, the code is shared by the workers; a fault in it ends the master, not each worker.
preload_app = True
forwarded_allow_ips = "*"
# Nobody's headers choose what the path is: gateways decide by it who may ask.
forwarder_headers = ""
limit_request_field_size = 16384
control_socket_disable = True
if settings.CLOUDIGRADE_LOG_FORMAT == "json":
    logconfig_dict = settings.LOGGING
accesslog = "-"
access_log_format = (
    '%(h)s %(t)s "%(r)s" %(s)s %(b)s %(L)s s requestid:%({x-cloudigrade-request-id}o)s'
)

env.check()

metrics_folder = _metrics_folder()
raw_env = [f"PROMETHEUS_MULTIPROC_DIR={metrics_folder}"]


def post_worker_init(worker: Any) -> None:
    """Limit the worker's transactions, end those of clients that are gone, publish what it counts.

    The configuration is logged once for all workers.
    """
    limit_transactions("api")
    watch_clients()
    look_before_asking()
    # Loaded here: the place for metrics must be known first.
    import_module("util.task_metrics").publish_from_web()
    import_module("api.internal.dependencies").keep_connection()
    if worker.age == 1:
        log_configuration()


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone; its counters go on counting."""
    for file in metrics_folder.glob(f"gauge_live*_{worker.pid}.db"):
        file.unlink(missing_ok=True)
