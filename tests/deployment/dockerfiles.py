"""Dockerfiles, read."""

from deployment.local.service import REPOSITORY

DOCKERFILE = REPOSITORY / "Dockerfile"


def instructions(path=DOCKERFILE):
    """A Dockerfile's instructions, continued lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
