"""Where the settings come from: the dotenv file, the process environment, Clowder (spec 08 CFG-3)."""

import os

from cloudigrade.settings.variables import VARIABLES
from util.clowder import Clowder
from util.env import Environment, load_dotenv

env = Environment(VARIABLES, os.environ)

DOTENV_LOADED = load_dotenv(env("ENV_FILE_PATH"))

CLOUDIGRADE_ENVIRONMENT: str = env("CLOUDIGRADE_ENVIRONMENT") or ""
ACG_CONFIG: str | None = env("ACG_CONFIG")

# None outside Clowder mode. An empty one, in place of a file that cannot be read, lets the
# remaining settings be read too, so that all problems are reported together.
clowder: Clowder | None = (
    env.attempt(lambda: Clowder.load(ACG_CONFIG), Clowder({})) if ACG_CONFIG else None
)
CLOWDER_ENABLED = clowder is not None
