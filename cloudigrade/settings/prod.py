"""Settings for every deployment, the production one among them."""

from importlib import import_module

from cloudigrade.settings.base import *
from util import sentry

IS_PRODUCTION = CLOUDIGRADE_ENVIRONMENT == "prod"

SECRET_KEY = env("DJANGO_SECRET_KEY", "prod")
ALLOWED_HOSTS = env("DJANGO_ALLOWED_HOSTS", "prod")
DEBUG = env("DJANGO_DEBUG") and not IS_PRODUCTION
STATIC_ROOT = env("DJANGO_STATIC_ROOT", "prod")
SESSION_COOKIE_SECURE = IS_PRODUCTION
CSRF_COOKIE_SECURE = IS_PRODUCTION
# TLS ends before the pods: gateways redirect to it and announce it, and probes speak HTTP.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008"]
if IS_PRODUCTION:
    # What needs static files, the admin, is not there; the API's pages serve their own.
    MIDDLEWARE.remove("whitenoise.middleware.WhiteNoiseMiddleware")

env.require(
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_SP_OBJECT_ID",
    "AZURE_SUBSCRIPTION_ID",
)
if not CLOWDER_ENABLED:
    env.require(
        "DJANGO_DATABASE_NAME",
        "DJANGO_DATABASE_HOST",
        "DJANGO_DATABASE_USER",
        "DJANGO_DATABASE_PASSWORD",
    )
if IS_PRODUCTION and SECRET_KEY in {"base", "local", "test", "ephemeral"}:
    env.problem("DJANGO_SECRET_KEY is a well-known one, which production must not use")
if IS_PRODUCTION and "ephemeral" in CLOUDIGRADE_PSKS.values():
    env.problem("CLOUDIGRADE_PSKS has the template's key, which production must not accept")

if API_ENABLE_SENTRY := env("API_ENABLE_SENTRY"):
    env.require("DJANGO_SENTRY_DSN", "DJANGO_SENTRY_ENVIRONMENT")
    if not CLOUDIGRADE_VERSION:
        env.require("DJANGO_SENTRY_RELEASE")
_sentry_rates = env.attempt(
    lambda: sentry.parse_rates(
        "DJANGO_SENTRY_SAMPLE_RATE_BY_VIEW_NAME", env("DJANGO_SENTRY_SAMPLE_RATE_BY_VIEW_NAME")
    ),
    {},
)

env.check()

if API_ENABLE_SENTRY:
    sentry.set_up(
        dsn=env("DJANGO_SENTRY_DSN"),
        environment=env("DJANGO_SENTRY_ENVIRONMENT"),
        release=CLOUDIGRADE_VERSION or env("DJANGO_SENTRY_RELEASE"),
        sampler=sentry.view_sampler(_sentry_rates, env("DJANGO_SENTRY_SAMPLE_RATE_DEFAULT")),
        integrations=[import_module("sentry_sdk.integrations.django").DjangoIntegration()],
    )
