"""The template for Clowder (08 §14), held against the program."""

import json

import pytest

from cloudigrade.settings.variables import VARIABLES
from cloudigrade.task_names import DEFAULT_QUEUE, QUEUE_NAMES
from tests.cloudigrade.programs import run, settings_of
from tests.deployment.manifests import (
    deployments,
    environment,
    named,
    parameters,
    process,
)
from util.env import Environment

# The program's defaults, whatever this process is told.
env = Environment(VARIABLES, {})

APPLICATION = ("api", "worker", "beat", "listener")

# What Clowder says itself, what the image says, and what is for other places.
NOT_IN_PODS = {
    *("ENV_FILE_PATH", "ACG_CONFIG", "ENABLE_DJANGO_EXTENSIONS", "CELERY_TASK_ALWAYS_EAGER"),
    *("DJANGO_STATIC_URL", "DJANGO_STATIC_ROOT", "PROMETHEUS_MULTIPROC_DIR", "GUNICORN_BIND"),
    *(f"DJANGO_DATABASE_{what}" for what in ("NAME", "USER", "PASSWORD", "HOST", "PORT")),
    *("DJANGO_DATABASE_SSLMODE", "DJANGO_DATABASE_SSLROOTCERT"),
    *(f"REDIS_{what}" for what in ("HOST", "PORT", "USERNAME", "PASSWORD", "SSL", "DB", "URL")),
    *("REDIS_SSL_CERT_REQS", "REDIS_CA_CERTS", "REDIS_SENTINEL_MASTER"),
    *("AWS_PROFILE", "AWS_ENDPOINT_URL"),
    *("AZURE_ARM_BASE_URL", "AZURE_AUTHORITY_HOST"),
    *("HOUNDIGRADE_SENTRY_RELEASE", "CELERY_WORKER_MAX_MEMORY_PER_CHILD"),
    *("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SERVER_CA_LOCATION", "KAFKA_SERVER_SECURITY_PROTOCOL"),
    *(f"KAFKA_SERVER_SASL_{what}" for what in ("MECHANISM", "USERNAME", "PASSWORD")),
    *("LISTENER_HEARTBEAT_FILE", "LISTENER_METRICS_PORT"),
}
OF_ONE_PROCESS = {
    "Celery": {"worker", "beat"},
    "Periodic tasks": {"beat"},
    "Sentry of HTTP and listener": {"api", "listener"},
    "HTTP server": {"api"},
    "Read replica": {"api"},
}
EXCEPTIONS = {
    # Workers spread these rounds over their periods; metrics tell who was left out.
    "AWS_RECONCILE_SCHEDULE": set(APPLICATION),
    "UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE": set(APPLICATION),
    "AWS_DESCRIBE_MISSING_SCHEDULE": set(APPLICATION),
    "CELERY_BROKER_VISIBILITY_TIMEOUT": set(APPLICATION),
    "CELERY_LOST_WORKER_SECONDS": {"worker"},
    "CLOUDIGRADE_INIT_STRICT": {"api"},
    **{
        f"DJANGO_DATABASE_{process.upper()}_STATEMENT_TIMEOUT": {process}
        for process in ("api", "worker", "beat", "listener")
    },
    "DEPLOY_NOTIFICATION_URL": {"api"},
    "LISTENER_TOPIC": {"listener"},
    "LISTENER_GROUP_ID": {"listener"},
    "LISTENER_LOG_LEVEL": {"listener"},
    "KAFKA_LISTENER_ADDRESS_FAMILY": {"listener"},
    "KAFKA_SESSION_TIMEOUT_MS": {"listener"},
}

# Where the template's default is another than the program's (08 §4, column "Tpl").
TEMPLATE_DEFAULTS = {
    "CLOUDIGRADE_ENVIRONMENT": "ephemeral",
    "DJANGO_DATABASE_CONN_MAX_AGE": "0",
    "CELERY_ENABLE_SENTRY": "true",
    "CELERY_SENTRY_ENVIRONMENT": "ephemeral",
    "CELERY_SENTRY_RELEASE": "ephemeral",
    "API_ENABLE_SENTRY": "true",
    "LISTENER_ENABLE_SENTRY": "true",
    "API_SENTRY_ENVIRONMENT": "ephemeral",
    "LISTENER_SENTRY_ENVIRONMENT": "ephemeral",
    "DJANGO_SENTRY_RELEASE": "ephemeral",
    "DJANGO_SENTRY_SAMPLE_RATE_DEFAULT": "0.1",
    "HOUNDIGRADE_ECS_PERSIST_INSPECTION_RESULTS_SCHEDULE": "120",
    "DJANGO_CONSOLE_LOG_LEVEL": "DEBUG",
    "DJANGO_LOG_LEVEL": "DEBUG",
    "CLOUDIGRADE_CW_STREAM_NAME": "cloudigrade-ephemeral",
    "WATCHTOWER_MAX_BATCH_COUNT": "1",
    "HOUNDIGRADE_ECS_IMAGE_NAME": "cloudservices/houndigrade",
    "HOUNDIGRADE_ECS_IMAGE_TAG": "1.0.0",
    "HOUNDIGRADE_SENTRY_ENVIRONMENT": "ephemeral",
    "KAFKA_SERVER_HOST": "platform-mq-ephemeral-kafka-bootstrap.platform-mq-ephemeral.svc",
    "LISTENER_GROUP_ID": "cloudmeter_ephemeral",
    "SOURCES_API_BASE_URL": "http://sources-api-svc.sources-ephemeral.svc:8000",
    "TENANT_TRANSLATOR_HOST": "apicast.3scale-dev.svc.cluster.local",
}
OTHER_DEFAULTS = {
    "IMAGE": "cloudservices/cloudigrade",
    "API_REPLICA_COUNT": "2",
    "API_REPLICA_COUNT_MAX": "4",
    "API_TARGET_AVERAGE_CPU_UTILIZATION": "80",
    "CELERY_WORKER_REPLICA_COUNT": "1",
    "CELERY_WORKER_REPLICA_COUNT_MAX": "16",
    "CELERY_TARGET_AVERAGE_CPU_UTILIZATION": "60",
    "CELERY_BEAT_REPLICA_COUNT": "1",
    "LISTENER_WORKER_REPLICA_COUNT": "1",
    "HEALTH_CHECK_HOST_HEADER": "health.cloudigrade.insights.openshiftapps.com",
    "OSD_REDEPLOY_TRIGGER": "1",
    "API_WATCHTOWER_USE_QUEUES": "true",
    "API_WATCHTOWER_SEND_INTERVAL": "1.0",
    "API_WATCHTOWER_MAX_BATCH_COUNT": "1000",
    "SOURCES_PSK_SECRET_NAME": "sources-api-secrets",
    "SOURCES_PSK_SECRET_KEY": "psks",
    "CELERY_METRICS_IMAGE_TAG": "latest",
    "CELERY_METRICS_READINESS_TIMEOUT": "5",
    "CELERY_METRICS_LOG_LEVEL": "INFO",
    "CELERY_METRICS_PORT": "9808",
    "CELERY_METRICS_RETRY_INTERVAL": "5",
    "CELERY_METRICS_REPLICA_COUNT": "0",
    "CELERY_METRICS_REPLICA_COUNT_MAX": "3",
    "CELERY_METRICS_TARGET_AVERAGE_CPU_UTILIZATION": "60",
}
SECRETS = {
    "cloudigrade-app-secret": {
        *("django-secret-key", "cloudigrade-psks", "api-sentry-dsn", "listener-sentry-dsn"),
        *("celery-sentry-dsn", "houndigrade-sentry-dsn", "slack-token"),
    },
    "cloudigrade-aws": {"aws-access-key-id", "aws-secret-access-key"},
    "cloudigrade-azure": {
        *("client_id", "client_secret", "sp_object_id", "subscription_id", "tenant_id"),
    },
    "cloudwatch": {
        *("aws_access_key_id", "aws_secret_access_key", "aws_region", "log_group_name"),
    },
    "cloudigrade-psk": {"psk"},
}
CLOWDER = {
    "webPort": 8000,
    "database": {
        **{"name": "cloudigrade", "hostname": "db", "port": 5432},
        **{"username": "user", "password": "password"},
    },
    "inMemoryDb": {"hostname": "redis", "port": 6379},
    "kafka": {"brokers": [{"hostname": "kafka", "port": 9092}], "topics": []},
    "endpoints": [{"app": "postigrade", "name": "svc", "hostname": "pool", "port": 8000}],
}


@pytest.fixture(scope="module")
def objects():
    return process(ENV_NAME="ephemeral-1", IMAGE_TAG="1234567")


@pytest.fixture(scope="module")
def pods(objects):
    return deployments(objects)


def expected_pods(variable):
    if variable.name in EXCEPTIONS:
        return EXCEPTIONS[variable.name]
    return OF_ONE_PROCESS.get(variable.group, set(APPLICATION))


def test_every_variable_reaches_the_processes_that_read_it(pods):
    given = {
        name: {pod for pod in APPLICATION if name in env_names(pods[pod])} for name in env.variables
    }
    wanted = {
        name: set() if name in NOT_IN_PODS else expected_pods(variable)
        for name, variable in env.variables.items()
    }
    assert given == wanted
    assert set(env.variables) > NOT_IN_PODS


def env_names(pod):
    return [item["name"] for item in pod["podSpec"]["env"]]


def test_every_given_variable_is_known_and_given_once(pods):
    known = {*env.variables, *(old for one in env.variables.values() for old in one.fallbacks)}
    for pod in APPLICATION:
        names = env_names(pods[pod])
        assert len(names) == len(set(names))
        assert set(names) <= {*known, "OSD_REDEPLOY_TRIGGER"}


def test_defaults_are_those_of_the_program_or_of_the_contract():
    defaults = parameters()
    for name, value in (TEMPLATE_DEFAULTS | OTHER_DEFAULTS).items():
        assert defaults[name] == value, name
    for name, variable in env.variables.items():
        if name in defaults and name not in TEMPLATE_DEFAULTS and not _is_own_rule(name, variable):
            assert _parsed(variable, defaults[name]) == env(name), name


def _is_own_rule(name, variable):
    return (
        variable.secret
        or name.startswith("AZURE_")
        or name.endswith(("_BY_VIEW_NAME", "_BY_TASK_NAME"))
        or name in ("CW_AWS_REGION_NAME", "CLOUDIGRADE_CW_LOG_GROUP")
    )


def _parsed(variable, text):
    if not text and variable.kind.empty_is_unset:
        return None
    return variable.kind.parse(text)


def test_sampling_rates_of_the_contract():
    rates = json.loads(parameters()["CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME"])
    assert len(rates) == 8
    assert set(rates.values()) == {"0"}
    assert json.loads(parameters()["DJANGO_SENTRY_SAMPLE_RATE_BY_VIEW_NAME"]) == {
        "v2-concurrent-list": "0.01",
        "internal-availability-status": "0.02",
        "health_check:health_check_home": "0",
        "prometheus-django-metrics": "0",
    }


def test_app_level(objects):
    spec = named(objects, "ClowdApp", "cloudigrade")["spec"]
    assert spec["envName"] == "ephemeral-1"
    assert spec["inMemoryDb"] is True
    assert spec["database"] == {"name": "cloudigrade", "version": 16}
    assert spec["dependencies"] == [
        *("postigrade", "rbac", "sources-api", "sources-monitor-go", "sources-superkey-worker"),
    ]
    assert [one["topicName"] for one in spec["kafkaTopics"]] == [
        "platform.sources.event-stream",
        "platform.sources.status",
        "platform.cloudigrade.usage",
        "platform.rhsm-subscriptions.service-instance-ingress",
    ]
    assert spec["testing"] == {"iqePlugin": "cloudmeter"}
    assert [one["name"] for one in spec["deployments"]] == [*APPLICATION, "metrics"]


def test_commands(pods):
    api = pods["api"]["podSpec"]
    assert "command" not in api
    [init] = api["initContainers"]
    assert init["command"] == ["/bin/sh", "-c", "/opt/cloudigrade/scripts/cloudigrade_init.sh"]
    assert init["inheritEnv"] is True
    queues = parameters()["CELERY_QUEUE_NAMES"]
    wait = "/bin/sh /opt/cloudigrade/scripts/wait_for_migrations.sh && exec "
    assert pods["worker"]["podSpec"]["command"][2] == (
        f"{wait}celery --app cloudigrade worker --loglevel info --pool solo --without-gossip"
        f" --without-mingle --concurrency 1 --task-events --queues {queues}"
    )
    assert pods["beat"]["podSpec"]["command"][2] == (
        f"{wait}celery --app cloudigrade beat --loglevel info --pidfile="
        " --scheduler django_celery_beat.schedulers:DatabaseScheduler"
    )
    assert pods["listener"]["podSpec"]["command"] == [
        *("/bin/sh", "-c", "exec python ./manage.py listen_to_sources"),
    ]
    for pod in APPLICATION:
        assert pods[pod]["podSpec"]["image"] == "cloudservices/cloudigrade:1234567"


def test_every_queue_is_consumed_by_workers():
    queues = parameters()["CELERY_QUEUE_NAMES"].split(",")
    assert sorted(queues) == sorted([*QUEUE_NAMES, DEFAULT_QUEUE])


def test_replicas_and_scaling(objects, pods):
    assert {name: pod["minReplicas"] for name, pod in pods.items()} == {
        **dict.fromkeys(APPLICATION, 1),
        "api": 2,
        "metrics": 0,
    }
    for name in ("beat", "listener"):
        assert pods[name]["deploymentStrategy"] == {"privateStrategy": "Recreate"}
        annotations = pods[name]["metadata"]["annotations"]
        assert annotations["ignore-check.kube-linter.io/minimum-three-replicas"]
    scalers = {}
    for one in objects:
        if one["kind"] == "HorizontalPodAutoscaler":
            assert one["apiVersion"] == "autoscaling/v2"
            spec = one["spec"]
            scalers[one["metadata"]["name"]] = (
                spec["scaleTargetRef"]["name"],
                spec["minReplicas"],
                spec["maxReplicas"],
                spec["metrics"][0]["resource"]["target"]["averageUtilization"],
            )
    assert scalers == {
        "cloudigrade-api-cpu": ("cloudigrade-api", 2, 4, 80),
        "cloudigrade-worker-cpu": ("cloudigrade-worker", 1, 16, 60),
        "cloudigrade-metrics-cpu": ("cloudigrade-metrics", 1, 3, 60),
    }


def test_resources(pods):
    found = {
        name: tuple(
            pod["podSpec"]["resources"][kind][what]
            for what in ("cpu", "memory")
            for kind in ("requests", "limits")
        )
        for name, pod in pods.items()
    }
    assert found == {
        "api": ("200m", "1000m", "512Mi", "1024Mi"),
        "worker": ("200m", "400m", "768Mi", "1024Mi"),
        "beat": ("100m", "200m", "128Mi", "256Mi"),
        "listener": ("100m", "200m", "128Mi", "256Mi"),
        "metrics": ("100m", "100m", "100Mi", "128Mi"),
    }


def test_probes(pods):
    for name, pod in pods.items():
        for kind in ("livenessProbe", "readinessProbe"):
            probe = pod["podSpec"][kind]
            assert (probe["initialDelaySeconds"], probe["periodSeconds"]) == (5, 10)
            assert probe["failureThreshold"] == 3
            slow = (name, kind) == ("metrics", "readinessProbe")
            assert probe["timeoutSeconds"] == (5 if slow else 1)
    ready = pods["api"]["podSpec"]["readinessProbe"]["httpGet"]
    assert (ready["path"], ready["port"]) == ("/internal/healthz/", 8000)
    assert ready["httpHeaders"] == [
        {"name": "Host", "value": "health.cloudigrade.insights.openshiftapps.com"}
    ]


def test_secrets(objects):
    found = {
        one["metadata"]["name"]: set(one["data"]) for one in objects if one["kind"] == "Secret"
    }
    assert found == SECRETS


def test_nothing_of_metrics_depends_on_redis_variables(pods):
    assert env_names(pods["metrics"]) == [
        *("CLOUDIGRADE_ENVIRONMENT", "CELERY_METRICS_LOG_LEVEL", "CELERY_METRICS_PORT"),
        "CELERY_METRICS_RETRY_INTERVAL",
    ]


@pytest.mark.parametrize("pod", APPLICATION)
def test_every_pod_starts_with_the_defaults(pod, objects, pods, tmp_path):
    clowder = tmp_path / "cdappconfig.json"
    clowder.write_text(json.dumps(CLOWDER))
    given = environment(objects, pods[pod]["podSpec"])
    found = settings_of(
        "prod",
        *("CLOUDIGRADE_VERSION", "SOURCES_PSK", "CLOUDIGRADE_PSKS", "DATABASES"),
        **bare(given, ACG_CONFIG=str(clowder)),
    )
    assert found["CLOUDIGRADE_VERSION"] == "1234567"
    assert (found["SOURCES_PSK"], found["CLOUDIGRADE_PSKS"]) == ("", {})
    assert found["DATABASES"]["default"]["HOST"] == "pool"


def bare(given, **more):
    """Return changes for ``programs.run`` which leave nothing but what a pod has."""
    assumed = (
        *("DJANGO_DATABASE_NAME", "DJANGO_DATABASE_HOST", "DJANGO_DATABASE_USER"),
        "DJANGO_DATABASE_PASSWORD",
    )
    return {**dict.fromkeys(assumed), **given, **more}


def test_production_refuses_the_preset_secret_key(objects, pods, tmp_path):
    clowder = tmp_path / "cdappconfig.json"
    clowder.write_text(json.dumps(CLOWDER))
    given = environment(objects, pods["api"]["podSpec"]) | {"CLOUDIGRADE_ENVIRONMENT": "prod"}
    done = run(
        *("python", "-c", "from django.conf import settings; settings.DEBUG"),
        **bare(given, ACG_CONFIG=str(clowder)),
    )
    assert done.returncode != 0
    assert "DJANGO_SECRET_KEY" in done.stderr
