"""Settings from the environment (08 §1-§5)."""

import sys

import pytest

from cloudigrade.settings.environment import env
from cloudigrade.settings.variables import VARIABLES
from tests.cloudigrade.programs import PROD, problems_of, run, settings_of


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "manage.py", "check"),
        ("celery", "--app", "cloudigrade", "worker"),
        ("celery", "--app", "cloudigrade", "beat"),
        ("gunicorn", "-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"),
        (sys.executable, "manage.py", "listen_to_sources"),
    ],
)
def test_scenario_01_no_environment_name(command):
    done = run(*command, CLOUDIGRADE_ENVIRONMENT=None)
    assert done.returncode != 0
    assert "CLOUDIGRADE_ENVIRONMENT is required but not set" in done.stderr


@pytest.mark.parametrize("module", ["local", "test"])
def test_no_module_has_a_default_for_the_environment_name(module):
    assert "CLOUDIGRADE_ENVIRONMENT is required" in problems_of(
        module, CLOUDIGRADE_ENVIRONMENT=None
    )


def test_without_a_choice_the_settings_are_those_of_deployments():
    done = run(sys.executable, "manage.py", "diffsettings", DJANGO_SETTINGS_MODULE=None)
    assert "SETTINGS_MODULE = 'cloudigrade.settings.prod'" in done.stdout


def test_scenario_02_dotenv_file(tmp_path):
    file = tmp_path / ".env"
    file.write_text('DJANGO_DATABASE_HOST="a"\nAZURE_CLIENT_ID=from-file\n')
    path = str(file)
    found = settings_of("local", "DATABASES", ENV_FILE_PATH=path, DJANGO_DATABASE_HOST="b")
    assert found["DATABASES"]["default"]["HOST"] == "b"
    done = run(
        sys.executable,
        "-c",
        "import os; from django.conf import settings;"
        "print(settings.DATABASES['default']['HOST'], os.environ['AZURE_CLIENT_ID'])",
        module="local",
        ENV_FILE_PATH=path,
    )
    assert done.stdout.split() == ["a", "from-file"]


def test_scenario_03_redis():
    found = settings_of(
        "prod",
        "CELERY_BROKER_URL",
        "CELERY_RESULT_BACKEND",
        "CELERY_BROKER_TRANSPORT_OPTIONS",
        "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS",
        "CACHES",
        REDIS_HOST="r",
        REDIS_PORT="6380",
        REDIS_PASSWORD="pw",
    )
    assert found["CELERY_BROKER_URL"] == found["CELERY_RESULT_BACKEND"] == "redis://:pw@r:6380"
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"]["global_keyprefix"] == "stage-"
    assert found["CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS"]["global_keyprefix"] == "stage-"
    assert found["CACHES"]["default"]["KEY_PREFIX"] == "stage-cloudigrade"


@pytest.mark.parametrize(
    ("given", "prefix"), [(None, "stage-"), ("", "stage-"), ("acme-", "acme-")]
)
def test_names_of_what_we_have_in_aws(given, prefix):
    """08 §3, §24.13: bucket names are the whole world's, so their prefix may be chosen."""
    found = settings_of(
        "prod",
        "AWS_CLOUDTRAIL_BUCKET_NAME",
        "AWS_CLOUDTRAIL_QUEUE_NAME",
        "AWS_INSPECTION_BUCKET_NAME",
        "AWS_INSPECTION_QUEUE_NAME",
        "AWS_INSPECTION_LAUNCH_TEMPLATE_NAME",
        "AWS_INSPECTION_LOG_GROUP_NAME",
        "AWS_CLOUDTRAIL_NAME_PREFIX",
        AWS_RESOURCE_PREFIX=given,
    )
    assert list(found.values()) == [
        f"{prefix}cloudigrade-trails",
        f"{prefix}cloudigrade-cloudtrail-s3",
        f"{prefix}cloudigrade-inspections",
        f"{prefix}cloudigrade-inspections-s3",
        "cloudigrade-lt-stage",
        "houndigrade-stage",
        "stage-",
    ]


def test_redis_with_tls():
    found = settings_of(
        "prod",
        "REDIS_URL",
        "REDIS_TLS",
        "CELERY_BROKER_USE_SSL",
        REDIS_SSL="true",
        REDIS_CA_CERTS="/ca.pem",
        REDIS_DB="2",
    )
    assert found["REDIS_URL"] == "rediss://localhost:6379/2"
    assert found["REDIS_TLS"] == {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"}
    assert found["CELERY_BROKER_USE_SSL"] == found["REDIS_TLS"]


def test_redis_by_url():
    found = settings_of("prod", "REDIS_URL", "REDIS_TLS", REDIS_URL="redis://x:1", REDIS_HOST="r")
    assert found == {"REDIS_URL": "redis://x:1", "REDIS_TLS": None}


def test_redis_behind_sentinels():
    url = "sentinel://a:26379;sentinel://b:26379"
    found = settings_of("prod", "CELERY_BROKER_TRANSPORT_OPTIONS", REDIS_URL=url)
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"]["master_name"] == "mymaster"


def test_database_defaults():
    database = settings_of("local", "DATABASES")["DATABASES"]["default"]
    assert database["ENGINE"] == "django_prometheus.db.backends.postgresql"
    assert [database[name] for name in ("NAME", "USER", "PASSWORD")] == ["postgres"] * 3
    assert (database["HOST"], database["PORT"]) == ("localhost", 5432)
    assert database["ATOMIC_REQUESTS"] is True
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is True
    # A server that is gone without a word is noticed; nothing here reaches a pooler.
    assert database["OPTIONS"] == {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }


def test_database_with_tls():
    found = settings_of(
        "local",
        "DATABASES",
        DJANGO_DATABASE_SSLMODE="verify-full",
        DJANGO_DATABASE_SSLROOTCERT="/ca.pem",
        DJANGO_DATABASE_CONN_MAX_AGE="0",
        DJANGO_ATOMIC_REQUESTS="0",
    )["DATABASES"]["default"]
    assert found["OPTIONS"]["sslmode"] == "verify-full"
    assert found["OPTIONS"]["sslrootcert"] == "/ca.pem"
    assert (found["CONN_MAX_AGE"], found["ATOMIC_REQUESTS"]) == (0, False)


@pytest.mark.parametrize("name", [name for name in PROD if name != "CLOUDIGRADE_ENVIRONMENT"])
def test_scenario_09_what_deployments_need(name, request):
    missing = request.getfixturevalue("_problems_without_anything")
    assert f"{name} is required but not set" in missing


@pytest.fixture(scope="module")
def _problems_without_anything():
    return problems_of("prod", **dict.fromkeys(PROD))


def test_production_is_an_environment_of_the_prod_module():
    assert settings_of("prod", "IS_PRODUCTION") == {"IS_PRODUCTION": False}
    found = settings_of(
        "prod", "IS_PRODUCTION", "DEBUG", CLOUDIGRADE_ENVIRONMENT="prod", DJANGO_DEBUG="true"
    )
    assert found == {"IS_PRODUCTION": True, "DEBUG": False}
    found = settings_of("local", "IS_PRODUCTION", "DEBUG", CLOUDIGRADE_ENVIRONMENT="prod")
    assert found == {"IS_PRODUCTION": False, "DEBUG": True}


@pytest.mark.parametrize(
    "secret", [{"DJANGO_SECRET_KEY": "ephemeral"}, {"CLOUDIGRADE_PSKS": '{"any": "ephemeral"}'}]
)
def test_production_refuses_well_known_secrets(secret):
    told = problems_of("prod", CLOUDIGRADE_ENVIRONMENT="prod", **secret)
    assert "".join(secret) in told
    assert "ephemeral" not in told


def test_everything_wrong_is_told_at_once_and_no_secret_with_it():
    told = problems_of(
        "prod",
        DJANGO_SECRET_KEY=None,
        CLOUDIGRADE_CW_RETENTION_DAYS="abc",
        CLOUDIGRADE_PSKS="hunter2",
        ANALYZE_LOG_SCHEDULE="-1",
        CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME='{"x": "7"}',
        DJANGO_SENTRY_SAMPLE_RATE_BY_VIEW_NAME='{"y": "z"}',
        CELERY_ENABLE_SENTRY="true",
        API_ENABLE_SENTRY="true",
        CLOUDIGRADE_ENABLE_CLOUDWATCH="true",
    )
    for name in (
        "DJANGO_SECRET_KEY",
        "CLOUDIGRADE_CW_RETENTION_DAYS",
        "CLOUDIGRADE_PSKS",
        "ANALYZE_LOG_SCHEDULE",
        "CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME: the rate of x",
        "DJANGO_SENTRY_SAMPLE_RATE_BY_VIEW_NAME: the rate of y",
        "CELERY_SENTRY_DSN",
        "CELERY_SENTRY_ENVIRONMENT",
        "CELERY_SENTRY_RELEASE",
        "DJANGO_SENTRY_DSN",
        "DJANGO_SENTRY_ENVIRONMENT",
        "DJANGO_SENTRY_RELEASE",
        "CW_AWS_ACCESS_KEY_ID",
        "CW_AWS_SECRET_ACCESS_KEY",
        "CW_AWS_REGION_NAME",
        "CLOUDIGRADE_CW_LOG_GROUP",
        "CLOUDIGRADE_CW_STREAM_NAME",
    ):
        assert name in told
    assert "hunter2" not in told


def test_module_differences():
    names = ("DEBUG", "SECRET_KEY", "STATIC_ROOT", "ALLOWED_HOSTS", "SOURCES_PSK")
    flag = "ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API"
    local = settings_of("local", *names, flag, "CACHES")
    assert (local["DEBUG"], local["SECRET_KEY"], local["SOURCES_PSK"]) == (True, "local", "")
    assert local["ALLOWED_HOSTS"] == ["*"]
    assert local["STATIC_ROOT"].endswith("/static")
    assert local[flag] is False
    assert local["CACHES"]["default"]["BACKEND"] == "util.cache.RedisCache"
    test = settings_of("test", *names, flag, "CACHES", "LOGGING", "DATABASES", **{flag: "false"})
    assert (test["DEBUG"], test["SECRET_KEY"], test["SOURCES_PSK"]) == (False, "test", "test")
    assert test[flag] is True
    assert test["CACHES"]["default"]["BACKEND"] == "util.cache.LocalCache"
    assert test["LOGGING"]["handlers"]["console"]["level"] == "CRITICAL"
    assert "postgresql" in test["DATABASES"]["default"]["ENGINE"]
    prod = settings_of("prod", *names, DJANGO_ALLOWED_HOSTS="a, b")
    assert prod["STATIC_ROOT"] == "/srv/cloudigrade/static/"
    assert (prod["ALLOWED_HOSTS"], prod["SECRET_KEY"]) == (["a", "b"], "a-secret-key")


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({}, None),
        ({"IMAGE_TAG": "abc1234", "CLOUDIGRADE_VERSION": "2"}, "abc1234"),
        ({"IMAGE_TAG": "", "CLOUDIGRADE_VERSION": "2"}, "2"),
        ({"IMAGE_TAG": "", "CLOUDIGRADE_VERSION": "${CLOUDIGRADE_VERSION}"}, None),
    ],
)
def test_version(changes, version):
    found = settings_of("prod", "CLOUDIGRADE_VERSION", **changes)
    assert found == {"CLOUDIGRADE_VERSION": version}


def test_placeholders_of_old_manifests():
    found = settings_of(
        "prod",
        "AWS_S3_BUCKET_LC_NAME",
        "AWS_S3_BUCKET_LC_IA_TRANSITION",
        "AWS_S3_BUCKET_LC_MAX_AGE",
        "HOUNDIGRADE_SENTRY_RELEASE",
        S3_BUCKET_LC_NAME="${S3_BUCKET_LC_NAME}",
        S3_BUCKET_LC_IA_TRANSITION="31",
        S3_BUCKET_LC_MAX_AGE="100",
        AWS_S3_BUCKET_LC_MAX_AGE="200",
        HOUNDIGRADE_SENTRY_RELEASE="${HOUNDIGRADE_SENTRY_RELEASE}",
        HOUNDIGRADE_ECS_IMAGE_TAG="1.0.0",
    )
    assert list(found.values()) == ["s3_lifecycle_policy", 31, 200, "1.0.0"]


def test_scenario_21_trailing_slashes_of_the_sources_url():
    names = ("SOURCES_INTERNAL_API_BASE_URL", "SOURCES_API_EXTERNAL_BASE_URL")
    found = settings_of("prod", *names, SOURCES_API_BASE_URL="http://s:8000///")
    assert list(found.values()) == [
        "http://s:8000/internal/v1.0",
        "http://s:8000/api/sources/v3.0",
    ]


def test_scenario_29_an_empty_number_is_no_number():
    found = settings_of("prod", "CLOUDIGRADE_CW_RETENTION_DAYS", CLOUDIGRADE_CW_RETENTION_DAYS="")
    assert found == {"CLOUDIGRADE_CW_RETENTION_DAYS": None}
    told = problems_of("prod", CLOUDIGRADE_CW_RETENTION_DAYS="abc")
    assert "CLOUDIGRADE_CW_RETENTION_DAYS: 'abc' is not an integer" in told


def test_kafka_by_several_servers_and_by_old_names():
    names = ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SERVER_SECURITY_PROTOCOL")
    found = settings_of(
        "prod",
        *names,
        KAFKA_BOOTSTRAP_SERVERS="a:1, b:2",
        KAFKA_SERVER_HOST="c",
        KAFKA_SERVER_SECURITY_PROTOCOL="SSL",
    )
    assert list(found.values()) == ["a:1,b:2", "SSL"]
    found = settings_of("prod", *names, LISTENER_SERVER="old", LISTENER_PORT="1")
    assert list(found.values()) == ["old:1", None]


def test_cloudwatch_is_attached_to_every_logger():
    logging = settings_of(
        "prod",
        "LOGGING",
        CLOUDIGRADE_ENABLE_CLOUDWATCH="true",
        CW_AWS_ACCESS_KEY_ID="key",
        CW_AWS_SECRET_ACCESS_KEY="secret",
        CW_AWS_REGION_NAME="eu-west-1",
        CLOUDIGRADE_CW_LOG_GROUP="group",
        CLOUDIGRADE_CW_STREAM_NAME="stream",
        CLOUDIGRADE_CW_RETENTION_DAYS="3",
        WATCHTOWER_MAX_BATCH_COUNT="1",
        DJANGO_CONSOLE_LOG_LEVEL="ERROR",
    )["LOGGING"]
    handler = logging["handlers"]["cloudwatch"]
    assert handler["filters"] == ["request_id"]
    assert (handler["region"], handler["log_group_retention_days"]) == ("eu-west-1", 3)
    assert (handler["max_batch_count"], handler["use_queues"]) == (1, True)
    loggers = [logging["root"], *logging["loggers"].values()]
    # Those without handlers of their own propagate to the root's.
    own = [logger for logger in loggers if "handlers" in logger]
    assert all(logger["handlers"] == ["console", "cloudwatch"] for logger in own)
    assert all(logger.get("propagate", True) for logger in loggers if logger not in own)
    assert {"api", "cloudigrade", "util", "django", "azure"} <= set(logging["loggers"])


def test_the_listener_s_own_log_level():
    loggers = settings_of("prod", "LOGGING", LISTENER_LOG_LEVEL="debug")["LOGGING"]["loggers"]
    assert loggers["api.sources.listener"]["level"] == "DEBUG"
    assert loggers["api"]["level"] == "INFO"


def test_the_sdk_s_of_clouds_find_their_variables_in_the_environment():
    assert {"AWS_ENDPOINT_URL", "AZURE_AUTHORITY_HOST"} <= set(env.variables)


def test_every_variable_is_declared_once_and_explained():
    names = [variable.name for variable in VARIABLES]
    assert len(names) == len(set(names))
    assert all(variable.help and variable.group for variable in VARIABLES)
    hidden = ("PASSWORD", "SECRET_", "PSK", "DSN", "ACCESS_KEY")
    exposed = [
        variable.name
        for variable in VARIABLES
        if any(word in variable.name for word in hidden) and not variable.secret
    ]
    assert exposed == []


def test_django_has_nothing_against_a_deployment():
    done = run(
        *(sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        CLOUDIGRADE_ENVIRONMENT="prod",
        DJANGO_SECRET_KEY="9f8e7d6c5b4a39281706f5e4d3c2b1a0" * 3,
        DJANGO_ALLOWED_HOSTS="cloudigrade.example.com",
    )
    assert done.returncode == 0, done.stderr
