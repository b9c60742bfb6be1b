"""Settings for automated tests: as quiet and as self-contained as they can be."""

from cloudigrade.settings.base import *

SECRET_KEY = env("DJANGO_SECRET_KEY", "test")
SOURCES_PSK = env("SOURCES_PSK", "test")
ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API = True

CACHES = {
    "default": {
        "BACKEND": "util.cache.LocalCache",
        "KEY_PREFIX": CACHES["default"]["KEY_PREFIX"],
        "TIMEOUT": CACHE_TTL_DEFAULT,
    }
}
LOGGING["handlers"]["console"]["level"] = "CRITICAL"
# Nothing asks for static files, and finding them takes time.
MIDDLEWARE.remove("whitenoise.middleware.WhiteNoiseMiddleware")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

env.check()
