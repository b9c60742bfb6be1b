"""What all settings modules share (spec 08 §1). Never used alone."""

import warnings
from pathlib import Path
from urllib.parse import urlsplit

from cloudigrade.settings.celery import *
from cloudigrade.settings.clouds import *
from cloudigrade.settings.database import *
from cloudigrade.settings.environment import *
from cloudigrade.settings.kafka import *
from cloudigrade.settings.logging import *
from cloudigrade.settings.redis import *
from cloudigrade.settings.rest import *
from util import redaction

BASE_DIR = Path(__file__).resolve().parent.parent.parent

IS_PRODUCTION = False
CLOUDIGRADE_VERSION = env("IMAGE_TAG") or env("CLOUDIGRADE_VERSION")
CLOUDIGRADE_PSKS = env("CLOUDIGRADE_PSKS")
ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API = env("ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API")
INTERNAL_API_REQUIRE_AUTH = env("INTERNAL_API_REQUIRE_AUTH")
ENABLE_API_DOCS = env("ENABLE_API_DOCS")
VERBOSE_INSIGHTS_IDENTITY_HEADER_LOGGING = env("VERBOSE_INSIGHTS_IDENTITY_HEADER_LOGGING")

SECRET_KEY = env("DJANGO_SECRET_KEY")
DEBUG = env("DJANGO_DEBUG")
ALLOWED_HOSTS = env("DJANGO_ALLOWED_HOSTS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_filters",
    "django_prometheus",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "api",
    "api.console",
]

MIDDLEWARE = [
    "util.request_id.RequestIdMiddleware",
    "util.hang_up.HangUpMiddleware",
    "util.compression.CompressionMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "util.errors.JSONNotFoundMiddleware",
    "util.slash.SlashMiddleware",
    "util.browser.SessionMiddleware",
    # It only looks at forms, and at views that do not say that they need no protection.
    "django.middleware.csrf.CsrfViewMiddleware",
    "util.browser.AuthenticationMiddleware",
    "util.browser.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

BROWSER_PATHS = ("/admin/", "/api-auth/", "/internal/console/")
"""Where people come with a browser: what needs a session."""
CSRF_FAILURE_VIEW = "api.console.views.csrf_failure"
GRAFANA_DASHBOARD_URL = env("GRAFANA_DASHBOARD_URL")
CSRF_TRUSTED_ORIGINS = env("DJANGO_CSRF_TRUSTED_ORIGINS")

REPLICA_PATHS = ("/api/cloudigrade/v2/",)
"""What reads from a replica, if there is one."""
if "replica" in DATABASES:
    MIDDLEWARE.insert(-1, "util.replica.ReplicaMiddleware")

ROOT_URLCONF = "cloudigrade.urls"
WSGI_APPLICATION = "cloudigrade.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "api.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = env("DJANGO_STATIC_URL")
STATIC_ROOT = env("DJANGO_STATIC_ROOT") or str(BASE_DIR / "static")
# Static files are found in the packages too, so that nothing has to be collected.
WHITENOISE_USE_FINDERS = True
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)

# Metrics of migrations would query the database when a process starts.
PROMETHEUS_EXPORT_MIGRATIONS = False

RECALCULATE_RUNS_SINCE_DAYS_AGO = env("RECALCULATE_RUNS_SINCE_DAYS_AGO")
RECALCULATE_CONCURRENT_USAGE_SINCE_DAYS_AGO = env("RECALCULATE_CONCURRENT_USAGE_SINCE_DAYS_AGO")
DELETE_INACTIVE_USERS_MIN_AGE = env("DELETE_INACTIVE_USERS_MIN_AGE")
DELETE_ORPHANED_ACCOUNTS_UPDATED_MORE_THAN_SECONDS_AGO = env(
    "DELETE_ORPHANED_ACCOUNTS_UPDATED_MORE_THAN_SECONDS_AGO"
)
DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_UPDATED_MORE_THAN_SECONDS_AGO = env(
    "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_UPDATED_MORE_THAN_SECONDS_AGO"
)
DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_CHECK_APPLICATIONS = env(
    "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_CHECK_APPLICATIONS"
)
CLEANUP_GRACE_DAYS = env("CLEANUP_GRACE_DAYS")
DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_MAX_SHARE = env(
    "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_MAX_SHARE"
)
LEADER_RUNNING_TTL_DEFAULT = env("LEADER_RUNNING_TTL_DEFAULT")
LEADER_COMPLETED_TTL_DEFAULT = env("LEADER_COMPLETED_TTL_DEFAULT")

redaction.remember(env.secrets())
if CLOWDER_ENABLED:
    redaction.remember(
        [DATABASES["default"]["PASSWORD"], KAFKA_SERVER_SASL_PASSWORD, urlsplit(REDIS_URL).password]
    )

if CELERY_ENABLE_SENTRY and not CLOUDIGRADE_VERSION:
    env.require("CELERY_SENTRY_RELEASE")
