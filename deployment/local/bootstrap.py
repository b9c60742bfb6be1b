"""Make ``.venv`` hold what a lock file says; run by ``make setup`` and what depends on it.

Without an argument that is requirements.lock: all that tests and checks need. With the argument
``demo`` it is requirements-demo.lock, a quarter of that: what the product and its embedded
services need to run; a ``.venv`` that holds everything is left as it is.

Uses nothing but a plain Python and writes nowhere but into ``.venv``, so it needs no home folder.
A second run with the same lock file and interpreter has nothing to do. Packages are installed by
uv, a few seconds in all, or by pip where uv is not to be had; both check the hashes.

This file also runs on Pythons that are too old for the product, to find a newer one.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = REPOSITORY / ".venv"
TOOLS = VENV / "tools"
LOCK = REPOSITORY / "requirements.lock"
DEMO_LOCK = REPOSITORY / "requirements-demo.lock"
STAMP = VENV / "installed.sha256"

OLDEST, NEWEST = (3, 11), (3, 14)

# pip's settings and what uv calls them: machines behind a mirror have configured pip.
_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def main(*arguments):
    """Set up ``.venv`` unless it is up to date."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        _run_with_another_python(arguments)
    lock = DEMO_LOCK if arguments == ("demo",) else LOCK
    # Everything is in the larger one.
    if _read(STAMP) in {_wanted(lock), _wanted(LOCK)}:
        return
    print("Setting up .venv with Python {}.{}.{}".format(*sys.version_info[:3]), flush=True)
    _create_venv()
    _install(lock)
    _make_repository_importable()
    STAMP.write_text(_wanted(lock))


def _run_with_another_python(arguments):
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            os.execv(found, [found, __file__, *arguments])
    _give_up(
        "Python 3.{} to 3.{} is needed; {} is {}.{}.".format(
            OLDEST[1], NEWEST[1], sys.executable, *sys.version_info[:2]
        )
    )


def _wanted(lock):
    """Return what must be in the stamp: changes with the lock, this file and the interpreter."""
    digest = hashlib.sha256()
    for part in (lock.read_bytes(), Path(__file__).read_bytes(), sys.version.encode()):
        digest.update(part)
    return digest.hexdigest()


def _create_venv():
    if _venv_version() == sys.version_info[:2]:
        STAMP.unlink(missing_ok=True)
        return
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if importlib.util.find_spec("ensurepip") is None:
        # Debian and Ubuntu split it off into the package python3-venv; uv can do without.
        command.insert(-1, "--without-pip")
    if subprocess.call(command) != 0:
        _give_up(f"{sys.executable} cannot create virtual environments. Install its venv module.")


def _venv_version():
    python = VENV / "bin" / "python"
    if not python.exists():
        return None
    show = "import sys; print(*sys.version_info[:2])"
    answer = subprocess.run([str(python), "-c", show], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in answer.stdout.split()) if answer.returncode == 0 else None


def _install(lock):
    environment = {
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "UV_CACHE_DIR": str(VENV / "cache"),
        "UV_NO_CONFIG": "1",
        # Safe since the hashes decide. By default one index with an old version hides the others.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    pip = _find_pip()
    uv = shutil.which("uv") or (_install_uv(pip, environment) if pip else None)
    if uv and _sync_with_uv(uv, pip, lock, environment):
        return
    if pip is None:
        _give_up(
            "There is neither pip nor uv. On Debian and Ubuntu: apt-get install python3-venv"
            " (or python3-pip), then run make again."
        )
    print("uv did not work; installing with pip, which takes a few minutes", flush=True)
    command = [*pip, "install", "--require-hashes", "--requirement", str(lock)]
    # pip's bars are for people; a log needs no line for each package.
    if not sys.stdout.isatty():
        command.append("-qq")
    if subprocess.call(command, env=environment) != 0:
        _give_up("The packages could not be installed; see above.")


def _find_pip():
    """Return the command of a pip that installs into .venv, or None."""
    python = str(VENV / "bin" / "python")
    for command in ([python, "-m", "pip"], [sys.executable, "-m", "pip", "--python", python]):
        if (
            subprocess.run([*command, "--version"], capture_output=True, check=False).returncode
            == 0
        ):
            return command
    return None


def _install_uv(pip, environment):
    uv = TOOLS / "bin" / "uv"
    if not uv.exists():
        command = [*pip, "install", "-qq", "--target", str(TOOLS), "uv>=0.8,<1"]
        subprocess.run(command, env=environment, check=False)
    return str(uv) if uv.exists() else None


def _sync_with_uv(uv, pip, lock, environment):
    command = [uv, "pip", "sync", "--require-hashes", "--compile-bytecode"]
    command += ["--python", str(VENV / "bin" / "python"), str(lock)]
    # uv shows how far it is to people only; what it lists in the end is of no use to anybody.
    if not sys.stderr.isatty():
        command.append("--quiet")
    if pip:
        environment = {**_pip_settings_for_uv(pip), **environment}
    try:
        return subprocess.call(command, env=environment) == 0
    finally:
        shutil.rmtree(environment["UV_CACHE_DIR"], ignore_errors=True)


def _pip_settings_for_uv(pip):
    listing = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)
    settings = {}
    for line in listing.stdout.splitlines():
        match = re.fullmatch(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'", line)
        if match and match[1] in _UV_NAMES:
            settings[_UV_NAMES[match[1]]] = match[2]
    return settings


def _make_repository_importable():
    """Let programs of .venv find the product from any folder, as an editable install would."""
    (site_packages,) = (VENV / "lib").glob("python*/site-packages")
    (site_packages / "cloudigrade.pth").write_text(f"{REPOSITORY}\n")


def _read(path):
    return path.read_text() if path.exists() else None


def _give_up(message):
    sys.exit(f"setup failed: {message}")


if __name__ == "__main__":
    main(*sys.argv[1:])
