"""The image (08 §13). Nothing here builds one: that needs a registry."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
import requests

from deployment.local.service import REPOSITORY
from tests.api.inspector import corpus
from tests.cloudigrade.programs import environment, free_port
from tests.deployment.dockerfiles import DOCKERFILE, instructions
from tests.deployment.processes import wait_for

INSPECTOR = REPOSITORY / "deployment" / "inspector" / "Dockerfile"
USER, GROUP = 12345, 0


@pytest.mark.parametrize(
    "path", [DOCKERFILE, INSPECTOR, REPOSITORY / "deployment" / "postigrade" / "Dockerfile"]
)
def test_hadolint_finds_nothing(path):
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_promises():
    found = instructions()
    release = found[found.index("FROM base AS release") :]
    assert "WORKDIR /opt/cloudigrade" in found
    assert 'ENTRYPOINT ["gunicorn"]' in release
    assert 'CMD ["-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"]' in release
    assert "EXPOSE 8000" in release
    assert "USER 1001:0" in release
    for program in ("bash", "grep", "procps-ng"):
        assert any(line.startswith("RUN microdnf") and program in line for line in found)


def test_the_release_stage_builds_and_installs_nothing():
    found = instructions()
    release = found[found.index("FROM base AS release") :]
    assert not [line for line in release if line.startswith("RUN")]
    base = found[: found.index("FROM base AS build")]
    assert not re.search(r"\b(gcc|git|pip|devel|make)\b", " ".join(base))


def test_what_is_copied_exists_and_passes_dockerignore():
    allowed = {
        line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if "!" in line
    }
    copied = {
        source
        for path in (DOCKERFILE, INSPECTOR)
        for line in instructions(path)
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    # What lies below something that is allowed is allowed, too.
    assert {one for one in copied if not allowed & {str(up) for up in Path(one).parents}} == allowed
    for source in copied:
        assert (REPOSITORY / source).exists()


@pytest.mark.parametrize("path", [DOCKERFILE, INSPECTOR])
def test_no_registry_is_named(path):
    text = path.read_text()
    assert not re.search(r"\b[\w-]+\.(io|com|org|net)\b", text)


def test_the_inspector_has_its_own_files_only():
    """13 §1: the program and its readers, not Django; non-root."""
    found = instructions(INSPECTOR)
    release = found[found.index("FROM base AS release") :]
    assert "USER 1001:0" in release
    assert 'ENTRYPOINT ["python", "-m", "api.inspector"]' in release
    assert not [line for line in release if line.startswith("RUN")]
    ours = [line.split()[1] for line in found if line.startswith("COPY ") and "--from" not in line]
    assert set(ours) == {
        "LICENSE",
        "api/__init__.py",
        "api/inspector",
        "deployment/inspector/requirements.lock",
    }
    assert "django" not in (INSPECTOR.parent / "requirements.lock").read_text()


def copy_of_python(folder):
    """Copy this interpreter to where every user may run it: it may lie in a home folder."""
    base, name = Path(sys.base_prefix), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), folder / "bin" / name)
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        folder / "lib" / name,
        ignore=shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*"),
    )
    for library in (base / "lib").glob("libpython3*.so*"):
        shutil.copy(library, folder / "lib")


@pytest.fixture
def image():
    """The application's files as the image has them: nobody but root may write."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    root = Path(tempfile.mkdtemp(prefix="cloudigrade-image-"))
    application = root / "opt"
    for name in ("api", "cloudigrade", "util"):
        shutil.copytree(
            REPOSITORY / name, application / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(REPOSITORY / "manage.py", application)
    copy_of_python(root / "python")
    (root / "tmp").mkdir()
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    (root / "tmp").chmod(0o777)
    yield root
    shutil.rmtree(root)


def start(image, *command, **variables):
    return subprocess.Popen(
        [next((image / "python" / "bin").iterdir()), "-m", *command],
        cwd=image / "opt",
        env=environment(
            "prod",
            {
                "PYTHONPATH": sysconfig.get_path("purelib"),
                "PYTHONHOME": str(image / "python"),
                "LD_LIBRARY_PATH": str(image / "python" / "lib"),
                "TMPDIR": str(image / "tmp"),
                "HOME": "/",
                **variables,
            },
        ),
        user=USER,
        group=GROUP,
        extra_groups=[],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def written(image):
    """Files that belong to the user that the image runs as."""
    return [path for path in (image / "opt").rglob("*") if path.stat().st_uid == USER]


@pytest.mark.slow
def test_scenario_28_gunicorn_serves_under_any_user_id(image):
    port = free_port()
    server = start(
        image,
        *("gunicorn", "-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"),
        GUNICORN_BIND=f"127.0.0.1:{port}",
    )

    def serves():
        try:
            url = f"http://127.0.0.1:{port}/internal/livez/"
            with requests.Session() as session:
                session.trust_env = False
                return session.get(url, timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        assert wait_for(serves), server.communicate(timeout=5)
    finally:
        server.terminate()
        server.communicate(timeout=40)
    assert server.returncode == 0
    assert written(image) == []


@pytest.mark.slow
def test_scenario_28_celery_reports_under_any_user_id(image):
    report = start(image, "celery", "--app", "cloudigrade", "report")
    output, _ = report.communicate(timeout=60)
    assert report.returncode == 0, output
    assert "celery:5." in output
    assert written(image) == []


@pytest.mark.slow
def test_the_inspector_runs_without_the_service(image, tmp_path_factory):
    """13 §1: its files alone, as anybody, with nothing but what its lock file names."""
    application = image / "opt"
    for name in ("cloudigrade", "util"):
        shutil.rmtree(application / name)
    for path in (application / "api").iterdir():
        if path.name not in ("__init__.py", "inspector"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    disk = corpus.unpack("rhel9-gpt-xfs", image)
    disk.chmod(0o444)
    output = image / "tmp" / "result.json"
    done = start(image, "api.inspector", "-t", "ami-1", str(disk), "--output", str(output))
    text, _ = done.communicate(timeout=240)
    assert done.returncode == 0, text
    assert json.loads(output.read_text())["images"]["ami-1"]["rhel_version"] == "9.2"
    assert written(image) == []
