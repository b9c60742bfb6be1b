"""Routes below ``/internal/`` (spec 02 §2)."""

from django.conf import settings
from django.urls import include, path

from api.internal import health
from api.internal.cache import CacheView, ClearCacheView
from api.internal.clowder import CdappconfigView
from api.internal.failure import ErrorView
from api.internal.metering import (
    ProblematicRunsView,
    RecalculateConcurrentUsageView,
    RecalculateRunsView,
)
from api.internal.metrics import metrics_view
from api.internal.openapi import InternalOpenAPIView
from api.internal.redis_raw import RedisRawView
from api.internal.routes import resource_routes
from api.internal.sources import (
    AvailabilityStatusView,
    DeleteCloudAccountsNotInSourcesView,
    MigrateAccountNumbersView,
    SourcesKafkaView,
)
from api.internal.tasks import TaskResultView, TasksView

# Sampling rates of Sentry are configured by some of these names.
base_patterns = [
    path(
        "availability_status", AvailabilityStatusView.as_view(), name="internal-availability-status"
    ),
    path("problematic_runs/", ProblematicRunsView.as_view(), name="internal-problematic-runs"),
    *resource_routes(synthetic=settings.ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API),
]

action_patterns = [
    path(
        "delete_cloud_accounts_not_in_sources/",
        DeleteCloudAccountsNotInSourcesView.as_view(),
        name="internal-delete-cloud-accounts-not-in-sources",
    ),
    path(
        "migrate_account_numbers_to_org_ids/",
        MigrateAccountNumbersView.as_view(),
        name="internal-migrate-account-numbers-to-org-ids",
    ),
    path("recalculate_runs/", RecalculateRunsView.as_view(), name="internal-recalculate-runs"),
    path(
        "recalculate_concurrent_usage/",
        RecalculateConcurrentUsageView.as_view(),
        name="internal-recalculate-concurrent-usage",
    ),
    path("sources_kafka/", SourcesKafkaView.as_view(), name="internal-sources-kafka"),
    path("tasks/", TasksView.as_view(), name="internal-tasks"),
    path("tasks/<str:async_result_id>/", TaskResultView.as_view(), name="internal-task-result"),
    path("cache/<str:key>/", CacheView.as_view(), name="internal-cache"),
    path("clear_cache/", ClearCacheView.as_view(), name="internal-clear-cache"),
    path("cdappconfig.json", CdappconfigView.as_view(), name="internal-cdappconfig"),
    path("redis_raw/", RedisRawView.as_view(), name="internal-redis-raw"),
    path("error/", ErrorView.as_view(), name="internal-error"),
]

health_patterns = (
    [path("", health.HealthzView.as_view(), name="health_check_home")],
    "health_check",
)

open_patterns = [
    path("healthz/", include(health_patterns)),
    path("livez/", health.LivezView.as_view(), name="internal-livez"),
    path("readyz/", health.ReadyzView.as_view(), name="internal-readyz"),
    path("metrics", metrics_view, name="prometheus-django-metrics"),
    path("openapi.json", InternalOpenAPIView.as_view(), name="internal-openapi"),
]
"""What asks nobody who is calling, whatever the settings."""

urlpatterns = [
    path("api/cloudigrade/v1/", include(base_patterns)),
    *action_patterns,
    *open_patterns,
]
