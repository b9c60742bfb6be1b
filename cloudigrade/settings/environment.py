"""Where the settings come from.

The dotenv file, the process environment, Clowder (spec 08 CFG-3).
"""

import os

from cloudigrade.settings.variables import VARIABLES
from util.clowder import Clowder
from util.env import Environment, load_dotenv

env = Environment(VARIABLES, os.environ)

DOTENV_LOADED = load_dotenv(env("ENV_FILE_PATH"))

CLOUDIGRADE_ENVIRONMENT: str = env("CLOUDIGRADE_ENVIRONMENT") or ""
ACG_CONFIG: str | None = env("ACG_CONFIG")


def _clowder() -> Clowder | None:
    """Return Clowder's configuration, None outside Clowder mode.

    In place of a file that cannot be read it is an empty one, so that reading goes on and all
    problems are reported together.
    """
    path = ACG_CONFIG
    return env.attempt(lambda: Clowder.load(path), Clowder({})) if path else None


clowder = _clowder()
CLOWDER_ENABLED = clowder is not None
