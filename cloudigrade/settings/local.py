"""Settings for development."""

from cloudigrade.settings.base import *

DEBUG = env("DJANGO_DEBUG", "local")
SECRET_KEY = env("DJANGO_SECRET_KEY", "local")

if env("ENABLE_DJANGO_EXTENSIONS"):
    INSTALLED_APPS += ["django_extensions"]

env.check()
