"""Every environment variable that cloudigrade reads, declared once (spec 08 §4).

The settings are read through this table, and the configuration reference is generated from it.
Periods and ages are in seconds unless the help says otherwise. It is one table, group by group as
in the specification, and so stays one file, however long.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from util.env import BOOL, FLOAT, INT, JSON, LEVEL, LIST, TEXT, SameAs, ValueKind, Variable

DAY = 86400
WEEK = 7 * DAY

_PORT = {"minimum": 1, "maximum": 65535}
_SECRET = {"secret": True}
_NATURAL = {"minimum": 0}
_POSITIVE = {"minimum": 1}
_RATE = {"minimum": 0, "maximum": 1}
_PROD = {"required_in": ("prod",)}
_TEMPLATED = {"placeholder_is_unset": True}


def _variable(kind: ValueKind, name: str, default: Any, help: str, **more: Any) -> Variable:
    return Variable(name=name, kind=kind, default=default, help=help, group="", **more)


_text: Callable[..., Variable] = partial(_variable, TEXT)
_bool: Callable[..., Variable] = partial(_variable, BOOL)
_int: Callable[..., Variable] = partial(_variable, INT)
_float: Callable[..., Variable] = partial(_variable, FLOAT)
_list: Callable[..., Variable] = partial(_variable, LIST)
_json: Callable[..., Variable] = partial(_variable, JSON)
_level: Callable[..., Variable] = partial(_variable, LEVEL)


def _group(title: str, *variables: Variable) -> tuple[Variable, ...]:
    return tuple(replace(variable, group=title) for variable in variables)


def _schedule(name: str, default: int, task: str) -> Variable:
    return _int(name, default, f"period of {task}; 0: never", **_NATURAL)


_CORE = _group(
    "Core",
    _text("DJANGO_SETTINGS_MODULE", "cloudigrade.settings.prod", "settings module"),
    _text("ENV_FILE_PATH", "/mnt/secret_store/.env", "optional dotenv file"),
    _text("ACG_CONFIG", None, "path of Clowder's cdappconfig; set: Clowder mode"),
    _text(
        "CLOUDIGRADE_ENVIRONMENT",
        None,
        "name of the deployment, part of the names of queues, buckets and keys",
        required_in=("base", "local", "test", "prod"),
    ),
    _text("IMAGE_TAG", None, "version of the running image", **_TEMPLATED),
    _text("CLOUDIGRADE_VERSION", None, "version, where IMAGE_TAG is unset", **_TEMPLATED),
    _json("CLOUDIGRADE_PSKS", {}, "service name to the pre-shared key it calls with", **_SECRET),
    _bool(
        "ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API",
        False,
        "offer the internal API's syntheticdatarequests",
        defaults={"test": True},
    ),
    _bool("ENABLE_DJANGO_EXTENSIONS", False, "add django-extensions, local settings only"),
    _bool("INTERNAL_API_REQUIRE_AUTH", False, "demand authentication on the internal API"),
    _bool(
        "ENABLE_API_DOCS",
        False,
        "serve Swagger UI and ReDoc of the public API in production too",
    ),
    _bool("CLOUDIGRADE_INIT_STRICT", False, "any failed step of the init script is fatal"),
    _text(
        "DEPLOY_NOTIFICATION_URL",
        None,
        "webhook that the init script reports to",
        fallbacks=("SLACK_TOKEN",),
        **_SECRET,
    ),
)

_DJANGO = _group(
    "Django",
    _text(
        "DJANGO_SECRET_KEY",
        "base",
        "Django's secret key",
        defaults={"local": "local", "test": "test"},
        **_SECRET,
        **_PROD,
    ),
    _bool("DJANGO_DEBUG", False, "debug mode, never in production", defaults={"local": True}),
    _list("DJANGO_ALLOWED_HOSTS", ["*"], "host names that are served", **_PROD),
    _text("GRAFANA_DASHBOARD_URL", None, "dashboard that the console's pages link to"),
    _list(
        "DJANGO_CSRF_TRUSTED_ORIGINS",
        [],
        "origins, with their scheme, from which the console's forms may come; needed behind a"
        " gateway that ends TLS",
    ),
    _text("DJANGO_STATIC_URL", "/static/", "URL of static files"),
    _text(
        "DJANGO_STATIC_ROOT",
        None,
        "folder of static files; unset: static/ below the application",
        defaults={"prod": "/srv/cloudigrade/static/"},
    ),
)

_DATABASE = _group(
    "Database",
    _text("DJANGO_DATABASE_NAME", "postgres", "database name"),
    _text("DJANGO_DATABASE_USER", "postgres", "user name"),
    _text("DJANGO_DATABASE_PASSWORD", "postgres", "password", **_SECRET),
    _text("DJANGO_DATABASE_HOST", "localhost", "host"),
    _int("DJANGO_DATABASE_PORT", 5432, "port", **_PORT),
    _int("DJANGO_DATABASE_CONN_MAX_AGE", 60, "how long a connection is re-used", **_NATURAL),
    _bool("DJANGO_DATABASE_CONN_HEALTH_CHECKS", True, "test a connection before re-using it"),
    _text("DJANGO_DATABASE_ENGINE", "django_prometheus.db.backends.postgresql", "backend"),
    _text("DJANGO_DATABASE_SSLMODE", None, "libpq sslmode"),
    _text("DJANGO_DATABASE_SSLROOTCERT", None, "CA file of the server's certificate"),
    _bool("DJANGO_ATOMIC_REQUESTS", True, "one transaction per HTTP request"),
    _int("DJANGO_DATABASE_LOCK_TIMEOUT", 5, "longest wait for a lock; 0: for ever", **_NATURAL),
    _int(
        "DJANGO_DATABASE_IDLE_TRANSACTION_TIMEOUT",
        120,
        "longest time that a transaction is left without a statement; 0: for ever",
        **_NATURAL,
    ),
    *(
        _int(
            f"DJANGO_DATABASE_{kind.upper()}_STATEMENT_TIMEOUT",
            seconds,
            f"longest time for one statement of {process}; 0: for ever",
            **_NATURAL,
        )
        for kind, seconds, process in (
            ("api", 20, "the API"),
            ("worker", 300, "a worker"),
            ("beat", 30, "beat"),
            ("listener", 30, "the listener"),
        )
    ),
)

_REPLICA = _group(
    "Read replica",
    _text("DJANGO_DATABASE_REPLICA_HOST", None, "host of a replica for reading; unset: none"),
    _int("DJANGO_DATABASE_REPLICA_PORT", None, "its port; unset: the primary's", **_PORT),
    _text("DJANGO_DATABASE_REPLICA_NAME", None, "its database; unset: the primary's"),
    _text("DJANGO_DATABASE_REPLICA_USER", None, "user name there; unset: the primary's"),
    _text(
        "DJANGO_DATABASE_REPLICA_PASSWORD", None, "password there; unset: the primary's", **_SECRET
    ),
    _float(
        "DJANGO_DATABASE_REPLICA_MAX_LAG", 60, "lag above which it is not read from", **_NATURAL
    ),
)

_REDIS = _group(
    "Redis",
    _text("REDIS_HOST", "localhost", "host"),
    _int("REDIS_PORT", 6379, "port", **_PORT),
    _text("REDIS_USERNAME", "", "user name, used together with a password only"),
    _text("REDIS_PASSWORD", "", "password", **_SECRET),
    _bool("REDIS_SSL", False, "connect with TLS"),
    _text(
        "REDIS_SSL_CERT_REQS",
        "required",
        "how the server's certificate is checked",
        choices=("required", "optional", "none"),
    ),
    _text("REDIS_CA_CERTS", None, "CA file of the server's certificate"),
    _int("REDIS_DB", 0, "number of the database", **_NATURAL),
    _text(
        "REDIS_URL", None, "redis://, rediss:// or sentinel:// URL; wins over the above", **_SECRET
    ),
    _text("REDIS_SENTINEL_MASTER", "mymaster", "name of the primary, with a sentinel:// URL"),
    _int("REDIS_HEALTH_CHECK_INTERVAL", 30, "how often an idle connection is tested", **_NATURAL),
)

_CELERY = _group(
    "Celery",
    _bool("CELERY_TASK_ALWAYS_EAGER", False, "run tasks where they are called, for development"),
    _bool("CELERY_DISABLE_LOGGING_HIJACK", True, "keep Django's logging in Celery's processes"),
    _int(
        "CELERY_BROKER_VISIBILITY_TIMEOUT",
        3 * 3600,
        "when a task is delivered again whose worker hangs",
        **_POSITIVE,
    ),
    _int(
        "CELERY_LOST_WORKER_SECONDS",
        300,
        "when the tasks of a worker that is lost are delivered again",
        **_POSITIVE,
    ),
    _int(
        "CELERY_WORKER_MAX_MEMORY_PER_CHILD",
        512_000,
        "KiB after which a prefork child is replaced; 0: never",
        **_NATURAL,
    ),
    _bool("CELERY_ENABLE_SENTRY", False, "report errors of tasks to Sentry"),
    _text("CELERY_SENTRY_DSN", None, "Sentry DSN of tasks", **_SECRET),
    _text("CELERY_SENTRY_ENVIRONMENT", None, "Sentry environment of tasks"),
    _text("CELERY_SENTRY_RELEASE", None, "Sentry release, where no version is known"),
    _float("CELERY_SENTRY_SAMPLE_RATE_DEFAULT", 0.1, "share of tasks that are traced", **_RATE),
    _json("CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME", {}, "task name to share that is traced"),
)

_SCHEDULES = _group(
    "Periodic tasks",
    _schedule("CHECK_AND_CACHE_SQS_QUEUES_LENGTHS_SCHEDULE", 300, "looking at SQS queue lengths"),
    _schedule("DELETE_INACTIVE_USERS_SCHEDULE", DAY, "deleting users without accounts"),
    _schedule(
        "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_SCHEDULE", DAY, "deleting accounts without source"
    ),
    _schedule("DELETE_ORPHANED_ACCOUNTS_SCHEDULE", DAY, "deleting accounts without cloud part"),
    _schedule("DELETE_EXPIRED_SYNTHETIC_DATA_SCHEDULE", 3600, "deleting expired synthetic data"),
    _schedule(
        "HOUNDIGRADE_ECS_PERSIST_INSPECTION_RESULTS_SCHEDULE", 60, "reading inspection results"
    ),
    _schedule("INSPECT_PENDING_IMAGES_SCHEDULE", 900, "starting inspections again"),
    _schedule("RECALCULATE_RUNS_FOR_ALL_CLOUD_ACCOUNTS_SCHEDULE", 3600, "recalculating runs"),
    _schedule("RECALCULATE_CONCURRENT_USAGE_FOR_ALL_USERS_SCHEDULE", 3600, "recalculating usage"),
    _schedule("ANALYZE_LOG_SCHEDULE", 30, "reading CloudTrail logs"),
    _schedule("AWS_REPOPULATE_EC2_INSTANCE_MAPPING_SCHEDULE", WEEK, "loading EC2 types"),
    _schedule("REPOPULATE_AZURE_INSTANCE_MAPPING_SCHEDULE", WEEK, "loading Azure sizes"),
    _schedule("UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE", 3600, "describing Azure machines"),
    _schedule("AWS_RECONCILE_SCHEDULE", 21600, "describing all AWS accounts again"),
    _schedule(
        "AWS_DESCRIBE_MISSING_SCHEDULE", 21600, "asking AWS again for what it did not describe"
    ),
    _schedule("REDRIVE_DEAD_LETTERS_SCHEDULE", 3600, "moving dead letters of SQS back"),
    _schedule(
        "PUBLISH_USAGE_CHANGES_SCHEDULE", 5, "sending changed usage to Kafka, if switched on"
    ),
    _schedule("RECALCULATE_STALE_USAGE_SCHEDULE", 60, "recalculating withdrawn usage"),
    _schedule("CALCULATE_COVERAGE_SCHEDULE", 3600, "calculating how far days can be trusted"),
    _schedule("SWEEP_INSPECTIONS_SCHEDULE", 900, "removing what inspections left behind"),
    _schedule("AUDIT_LOGS_SCHEDULE", DAY, "comparing the trail bucket with what was processed"),
    _schedule("DELETE_EXPIRED_RECORDS_SCHEDULE", DAY, "deleting old records of log files"),
    _schedule("SUMMARIZE_BILLING_FINDINGS_SCHEDULE", 3600, "looking for what is paid wrongly"),
    _schedule("SAMPLE_FLEET_SCHEDULE", 60, "measuring the fleet for the console's first page"),
    _schedule("SWEEP_INBOX_SCHEDULE", 60, "queueing unprocessed sources messages again"),
)

_LOGGING = _group(
    "Logging",
    _level("DJANGO_CONSOLE_LOG_LEVEL", "INFO", "threshold of the console"),
    _level("DJANGO_ALL_LOG_LEVEL", "INFO", "level of the root logger"),
    _level("DJANGO_LOG_LEVEL", "INFO", "level of logger django"),
    _level("CLOUDIGRADE_LOG_LEVEL", "INFO", "level of our own loggers"),
    _level("LISTENER_LOG_LEVEL", SameAs("CLOUDIGRADE_LOG_LEVEL"), "level of the Kafka listener"),
    _level("AZURE_LOG_LEVEL", "WARNING", "level of logger azure"),
    _text("CLOUDIGRADE_LOG_FORMAT", "text", "form of log lines", choices=("text", "json")),
    _bool("CLOUDIGRADE_ENABLE_CLOUDWATCH", False, "send logs to CloudWatch too"),
    _text("CW_AWS_ACCESS_KEY_ID", None, "access key for CloudWatch", **_SECRET),
    _text("CW_AWS_SECRET_ACCESS_KEY", None, "secret key for CloudWatch", **_SECRET),
    _text("CW_AWS_REGION_NAME", None, "region of CloudWatch"),
    _level("CLOUDIGRADE_CW_LEVEL", "INFO", "threshold of CloudWatch"),
    _text("CLOUDIGRADE_CW_LOG_GROUP", None, "log group"),
    _text("CLOUDIGRADE_CW_STREAM_NAME", None, "log stream"),
    _int(
        "CLOUDIGRADE_CW_RETENTION_DAYS", None, "retention in days; unset: not changed", **_POSITIVE
    ),
    _bool("WATCHTOWER_USE_QUEUES", True, "send in the background"),
    _float("WATCHTOWER_SEND_INTERVAL", 1.0, "longest wait before sending", **_NATURAL),
    _int("WATCHTOWER_MAX_BATCH_COUNT", 1000, "most lines per batch", **_POSITIVE),
)

_AWS = _group(
    "AWS",
    _text("AWS_ACCESS_KEY_ID", None, "own access key, read by the SDK", **_SECRET),
    _text("AWS_SECRET_ACCESS_KEY", None, "own secret key, read by the SDK", **_SECRET),
    _text("AWS_PROFILE", None, "profile, read by the SDK"),
    _text("AWS_ENDPOINT_URL", None, "endpoint of another AWS, read by the SDK"),
    _text("AWS_DEFAULT_REGION", "us-east-1", "own region"),
    _text("SQS_DEFAULT_REGION", SameAs("AWS_DEFAULT_REGION"), "region of SQS"),
    _text("S3_DEFAULT_REGION", "us-east-1", "region of S3"),
    _text("AWS_RESOURCE_PREFIX", None, "prefix of our resources' names; unset: environment and -"),
    _text(
        "AWS_S3_BUCKET_LC_NAME",
        "s3_lifecycle_policy",
        "id of the buckets' lifecycle rule",
        fallbacks=("S3_BUCKET_LC_NAME",),
        **_TEMPLATED,
    ),
    _int(
        "AWS_S3_BUCKET_LC_IA_TRANSITION",
        30,
        "days until infrequent access",
        fallbacks=("S3_BUCKET_LC_IA_TRANSITION",),
        **_TEMPLATED,
    ),
    _int(
        "AWS_S3_BUCKET_LC_GLACIER_TRANSITION",
        60,
        "days until Glacier",
        fallbacks=("S3_BUCKET_LC_GLACIER_TRANSITION",),
        **_TEMPLATED,
    ),
    _int(
        "AWS_S3_BUCKET_LC_MAX_AGE",
        1460,
        "days until deletion",
        fallbacks=("S3_BUCKET_LC_MAX_AGE",),
        **_TEMPLATED,
    ),
    _int(
        "AWS_CLOUDTRAIL_EVENT_QUEUE_VISIBILITY_TIMEOUT", 300, "of the CloudTrail queue", **_NATURAL
    ),
    _int(
        "AWS_DESCRIBE_GRACE",
        600,
        "age up to which an instance that EC2 does not list may only be too young to be listed",
        **_NATURAL,
    ),
    _int(
        "COVERAGE_MAX_DESCRIBE_GAP",
        43200,
        "longest time between two describes of a region for which an AWS account's day is proved",
        **_POSITIVE,
    ),
    _bool(
        "AWS_TRAIL_LOG_VALIDATION",
        False,
        "have CloudTrail write hourly digests of its files, and expect them to be whole",
    ),
    _int("AWS_SQS_MAX_RECEIVE_COUNT", 5, "receives before a message is put aside", **_POSITIVE),
    _int("AWS_SQS_MAX_YIELD_COUNT", 25, "most CloudTrail messages per run", **_POSITIVE),
    _int("AWS_SQS_MAX_HOUNDI_YIELD_COUNT", 10, "most result messages per run", **_POSITIVE),
)

_AZURE = _group(
    "Azure",
    _text("AZURE_CLIENT_ID", "azure-client-id", "own application", **_PROD),
    _text(
        "AZURE_CLIENT_SECRET",
        "very-secret-much-secure",
        "own application's secret",
        **_SECRET,
        **_PROD,
    ),
    _text(
        "AZURE_CLIENT_EXPIRES",
        None,
        "UTC date on which that secret expires, such as 2027-01-31, for an alert 30 days before",
    ),
    _text("AZURE_TENANT_ID", "azure-tenant-id", "own tenant", **_PROD),
    _text("AZURE_SP_OBJECT_ID", "azure-sp-object-id", "principal of the Lighthouse offer", **_PROD),
    _text("AZURE_SUBSCRIPTION_ID", "azure-subscription-id", "own subscription", **_PROD),
    _text("AZURE_ARM_BASE_URL", "https://management.azure.com", "resource manager's URL"),
    _text("AZURE_AUTHORITY_HOST", None, "login server, read by the SDK"),
    _text(
        "AZURE_CA_BUNDLE",
        None,
        "file of the certificate authorities that are believed for both, in place of the usual",
    ),
    _bool("ENABLE_AZURE_VM_DISCOVERY", True, "describe customers' Azure machines"),
    _text("AZURE_RHEL_DETECTION", "tag", "what makes an image RHEL", choices=("tag", "license")),
)

_INSPECTION = _group(
    "Inspection",
    _text(
        "AWS_INSPECTION_METHOD",
        "instance",
        "who looks into copied disks: an instance, or a worker by the EBS direct APIs",
        choices=("instance", "direct"),
    ),
    _text("AWS_INSPECTION_IMAGE", None, "image, with its tag, of our own inspector for instances"),
    _int("INSPECTION_MAX_SECONDS", 600, "time of one direct inspection", **_POSITIVE),
    _int("INSPECTION_MAX_READ_BYTES", 1024**3, "bytes read by one", **_POSITIVE),
    _int("INSPECTION_MAX_MEMORY_BYTES", 256 * 1024**2, "memory of its process", **_POSITIVE),
    _text("HOUNDIGRADE_ECS_IMAGE_NAME", "cloudigrade/houndigrade", "image of the inspector"),
    _text("HOUNDIGRADE_ECS_IMAGE_TAG", "latest", "tag of the inspector"),
    _int("HOUNDIGRADE_CW_RETENTION_DAYS", 90, "days that inspection logs are kept", **_POSITIVE),
    _text("HOUNDIGRADE_SENTRY_DSN", "", "Sentry DSN of the inspector", **_SECRET),
    _text("HOUNDIGRADE_SENTRY_ENVIRONMENT", "", "Sentry environment of the inspector"),
    _text("HOUNDIGRADE_SENTRY_RELEASE", "", "Sentry release, where there is no tag", **_TEMPLATED),
    _int("MAX_ALLOWED_INSPECTION_ATTEMPTS", 5, "starts before an image is given up", **_NATURAL),
    _int("MAX_CONCURRENT_INSPECTIONS", 100, "inspections in progress at once", **_POSITIVE),
    _int(
        "INSPECT_PENDING_IMAGES_MIN_AGE", 43200, "age before an inspection is repeated", **_NATURAL
    ),
    _int(
        "INSPECTION_SNAPSHOT_CLEAN_UP_INITIAL_DELAY", 3600, "before a copy is deleted", **_NATURAL
    ),
    _int("INSPECTION_SNAPSHOT_CLEAN_UP_RETRY_DELAY", 1800, "before the next attempt", **_NATURAL),
)

_SOURCES = _group(
    "Sources and Kafka",
    _text(
        "KAFKA_SERVER_HOST",
        "platform-mq-ci-kafka-bootstrap.platform-mq-ci.svc",
        "bootstrap host",
        fallbacks=("LISTENER_SERVER",),
    ),
    _int("KAFKA_SERVER_PORT", 9092, "bootstrap port", fallbacks=("LISTENER_PORT",), **_PORT),
    _list("KAFKA_BOOTSTRAP_SERVERS", [], "host:port of several brokers; wins over the above"),
    _text("KAFKA_SERVER_SECURITY_PROTOCOL", None, "librdkafka security.protocol"),
    _text("KAFKA_SERVER_SASL_MECHANISM", None, "librdkafka sasl.mechanism"),
    _text("KAFKA_SERVER_SASL_USERNAME", None, "SASL user name"),
    _text("KAFKA_SERVER_SASL_PASSWORD", None, "SASL password", **_SECRET),
    _text("KAFKA_SERVER_CA_LOCATION", None, "CA file of the brokers' certificates"),
    _int("KAFKA_SESSION_TIMEOUT_MS", None, "the consumer's session timeout", **_POSITIVE),
    _text("LISTENER_TOPIC", "platform.sources.event-stream", "topic that is consumed"),
    _text("LISTENER_GROUP_ID", "cloudmeter_ci", "consumer group"),
    _text("LISTENER_HEARTBEAT_FILE", None, "file that the listener touches every few seconds"),
    _int("INBOX_LEASE_SECONDS", 30, "when the work of a lost worker is taken over", **_POSITIVE),
    _int(
        "INBOX_REQUEUE_SECONDS", 60, "when a queued message's task is taken for lost", **_POSITIVE
    ),
    _int(
        "SOURCES_MISSING_RETRY_SECONDS",
        600,
        "how long an application or authentication that sources does not know is asked for again",
        **_NATURAL,
    ),
    _int("LISTENER_METRICS_PORT", None, "port of the listener's /metrics and /healthz", **_PORT),
    _text("KAFKA_LISTENER_ADDRESS_FAMILY", "any", "address family", choices=("any", "v4", "v6")),
    _text("SOURCES_STATUS_TOPIC", "platform.sources.status", "topic of our status messages"),
    _text("SOURCES_AVAILABILITY_EVENT_TYPE", "availability_status", "their event_type"),
    _text("SOURCES_API_BASE_URL", "http://sources-api.sources-ci.svc:8080", "the sources service"),
    _text(
        "SOURCES_PSK",
        "",
        "our pre-shared key at sources; unset: nothing is asked",
        defaults={"test": "test"},
        **_SECRET,
    ),
    _float("SOURCES_API_CONNECT_TIMEOUT", 5.0, "longest wait for a connection", minimum=0.001),
    _float("SOURCES_API_READ_TIMEOUT", 30.0, "longest wait for an answer", minimum=0.001),
    _bool("SOURCES_ENABLE_DATA_MANAGEMENT", True, "act on what sources says"),
    _bool("SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA", True, "act on Kafka messages, send status"),
    _bool("VERBOSE_SOURCES_NOTIFICATION_LOGGING", False, "log status messages"),
    _bool("VERBOSE_INSIGHTS_IDENTITY_HEADER_LOGGING", False, "log decoded identities"),
    _text("TENANT_TRANSLATOR_SCHEME", "http", "scheme", choices=("http", "https")),
    _text("TENANT_TRANSLATOR_HOST", "localhost", "host of the account number translator"),
    _int("TENANT_TRANSLATOR_PORT", 8892, "its port", **_PORT),
)

_PUSH = _group(
    "Usage over Kafka",
    _bool("USAGE_PUSH", False, "tell consumers of changed usage over Kafka"),
    _bool("USAGE_PUSH_TODAY", False, "tell them of days that have not ended, too"),
    _text("KAFKA_USAGE_TOPIC", "platform.cloudigrade.usage", "topic of changed usage"),
    _text(
        "USAGE_PUSH_API_BASE_URL",
        None,
        "scheme and host before the path that a message too large for its counts names",
    ),
    _bool("USAGE_PUSH_SWATCH", False, "send running hours to Subscription Watch"),
    _text(
        "KAFKA_SWATCH_TOPIC",
        "platform.rhsm-subscriptions.service-instance-ingress",
        "topic that Subscription Watch reads",
    ),
)

_AGES = _group(
    "Caches, windows and ages",
    _int("CACHE_TTL_DEFAULT", 60, "life of a cached value", **_NATURAL),
    _int(
        "CACHE_TTL_SOURCES_APPLICATION_TYPE_ID",
        SameAs("CACHE_TTL_DEFAULT"),
        "life of the cached application type",
        **_NATURAL,
    ),
    _int("RECALCULATE_RUNS_SINCE_DAYS_AGO", 2, "days looked back for runs", **_NATURAL),
    _int(
        "RECALCULATE_CONCURRENT_USAGE_SINCE_DAYS_AGO",
        2,
        "days looked back for missing usage first, before all days since a customer joined",
        **_NATURAL,
    ),
    _int("DELETE_INACTIVE_USERS_MIN_AGE", DAY, "age of a user before deletion", **_NATURAL),
    _int(
        "DELETE_ORPHANED_ACCOUNTS_UPDATED_MORE_THAN_SECONDS_AGO",
        300,
        "rest of an orphaned account before deletion",
        **_NATURAL,
    ),
    _int(
        "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_UPDATED_MORE_THAN_SECONDS_AGO",
        300,
        "rest of an account without source before deletion",
        **_NATURAL,
    ),
    _bool(
        "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_CHECK_APPLICATIONS",
        False,
        "delete accounts whose application is gone too, though their source is not",
    ),
    _float(
        "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_MAX_SHARE",
        0.2,
        "share of all accounts looked at, above which more than five are not deleted at once",
        **_RATE,
    ),
    _float(
        "CLEANUP_GRACE_DAYS",
        7,
        "how long an account whose source is gone is kept, disabled, before it is deleted",
        **_NATURAL,
    ),
    _int("CACHED_SQS_QUEUE_LENGTH_EXPIRATION_TTL", 1800, "life of a queue length", **_NATURAL),
    _int("LEADER_RUNNING_TTL_DEFAULT", 60, "how long a leader may run", **_POSITIVE),
    _int(
        "LEADER_COMPLETED_TTL_DEFAULT", 300, "how long its work need not be repeated", **_POSITIVE
    ),
)

_SENTRY = _group(
    "Sentry of HTTP and listener",
    _bool("API_ENABLE_SENTRY", False, "report errors, prod settings only"),
    _text("DJANGO_SENTRY_DSN", None, "Sentry DSN", **_SECRET),
    _text("DJANGO_SENTRY_ENVIRONMENT", None, "Sentry environment"),
    _text("DJANGO_SENTRY_RELEASE", None, "Sentry release, where no version is known"),
    _float("DJANGO_SENTRY_SAMPLE_RATE_DEFAULT", 0.5, "share of requests that are traced", **_RATE),
    _json(
        "DJANGO_SENTRY_SAMPLE_RATE_BY_VIEW_NAME",
        {"v2-sysconfig-list": 0.1, "health_check:health_check_home": 0},
        "view name to share that is traced",
    ),
)

_SERVER = _group(
    "HTTP server",
    _text("GUNICORN_BIND", None, "address and port; unset: 0.0.0.0 and Clowder's webPort or 8080"),
    _int("GUNICORN_WORKERS", 2, "worker processes", fallbacks=("WEB_CONCURRENCY",), **_POSITIVE),
    _int("GUNICORN_THREADS", 4, "threads per worker process", **_POSITIVE),
    _int("GUNICORN_TIMEOUT", 30, "longest time for one request", **_POSITIVE),
    _int("GUNICORN_MAX_REQUESTS", 0, "requests before a worker is replaced; 0: never", **_NATURAL),
    _text("PROMETHEUS_MULTIPROC_DIR", None, "folder of the workers' metrics; unset: a new one"),
)

VARIABLES: tuple[Variable, ...] = (
    *_CORE,
    *_DJANGO,
    *_DATABASE,
    *_REPLICA,
    *_REDIS,
    *_CELERY,
    *_SCHEDULES,
    *_LOGGING,
    *_AWS,
    *_AZURE,
    *_INSPECTION,
    *_SOURCES,
    *_PUSH,
    *_AGES,
    *_SENTRY,
    *_SERVER,
)
