"""Settings for mypy's plugin, which loads the models; whatever the shell has."""

import os

os.environ.setdefault("CLOUDIGRADE_ENVIRONMENT", "lint")

from cloudigrade.settings.test import *  # noqa: F403
