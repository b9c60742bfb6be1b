"""The probes that look at processes (08 §14.2), executed beside the processes that pods run.

Both run where there are no other processes: in a namespace of their own.
"""

import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import environment, free_port
from tests.deployment.manifests import deployments, process

ALONE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
GUNICORN = "exec gunicorn -c cloudigrade/gunicorn.py cloudigrade.wsgi"
# Asks the probe, starts the process, asks until the answer is yes or the process has ended.
SCRIPT = """
probe() { eval "$PROBE" > /dev/null 2>&1; }
probe && { echo "yes without a process"; exit 1; }
/bin/sh -c "$PROCESS" > "$LOG" 2>&1 &
until probe; do
    kill -0 $! 2> /dev/null || { tail "$LOG"; exit 1; }
    sleep 0.1
done
"""


@cache
def can_be_alone():
    if shutil.which("unshare") is None:
        return False
    attempt = [*ALONE, "sh", "-c", "test $$ = 1"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_be_alone(), reason="needs namespaces of processes"),
]


def cases():
    """What each pod runs once the database has its migrations, and its probes."""
    for name, pod in deployments(process(ENV_NAME="any", IMAGE_TAG="1234567")).items():
        if name == "metrics":
            continue
        spec = pod["podSpec"]
        command = spec.get("command", ["", "", GUNICORN])[-1]
        started = re.sub(r"^/bin/sh \S*wait_for_migrations.sh && ", "", command)
        for kind in ("livenessProbe", "readinessProbe"):
            if "exec" in spec[kind]:
                yield pytest.param(started, spec[kind]["exec"]["command"], id=f"{name}-{kind}")


@pytest.mark.parametrize(("command", "probe"), list(cases()))
def test_a_probe_sees_the_process_of_its_pod(command, probe, tmp_path):
    nowhere = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [*ALONE, "/bin/sh", "-c", SCRIPT],
        cwd=REPOSITORY,
        env=environment(
            "prod",
            {
                "PROBE": shlex.join(probe),
                "PROCESS": command,
                "LOG": str(tmp_path / "log"),
                "GUNICORN_BIND": nowhere,
                "REDIS_PORT": nowhere.rpartition(":")[2],
                "KAFKA_BOOTSTRAP_SERVERS": nowhere,
            },
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_probes_to_test():
    assert {case.id for case in cases()} == {
        *("api-livenessProbe", "worker-livenessProbe", "worker-readinessProbe"),
        *("beat-livenessProbe", "beat-readinessProbe"),
        *("listener-livenessProbe", "listener-readinessProbe"),
    }


def test_the_manifests_without_clowder_ask_the_same():
    folder = Path(REPOSITORY) / "deployment" / "kubernetes" / "base"
    for name in ("worker", "beat"):
        text = (folder / f"{name}.yaml").read_text()
        for case in cases():
            if case.id.startswith(name):
                assert case.values[1][-1] in text
