"""What each alert must do: for which series it is on, and when not.

Values are in promtool's notation, one a minute: ``5x60`` is 61 times a 5, ``0+10x60`` rises by ten,
``_x60`` is nothing. The world begins at the instant 0, so a time stamp of 0 is as old as the test
has lasted. Every alert needs a case in which it is on, is off before, and is off again afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

API = 'job="cloudigrade-api",namespace="prod"'
PROD = {"namespace": "prod"}

Values = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """Some series, and at which minutes the alert is on and off; ``labels`` are those it has."""

    alert: str
    what: str
    series: Values
    on: Sequence[int] = ()
    off: Sequence[int] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: PROD)


def responses(status: str, values: str, of: str = API) -> Values:
    """Responses of the web server, by their status."""
    return {f'django_http_responses_total_by_status_total{{{of},status="{status}"}}': values}


def latencies(fast: str, slow: str) -> Values:
    """Requests that took less than a second, and all."""
    name = "django_http_requests_latency_seconds_by_view_method_bucket"
    return {
        f'{name}{{{API},view="v2-accounts",method="GET",le="1.0"}}': fast,
        f'{name}{{{API},view="v2-accounts",method="GET",le="10.0"}}': slow,
        f'{name}{{{API},view="v2-accounts",method="GET",le="+Inf"}}': slow,
    }


def gauge(name: str, values: str, /, **labels: str) -> Values:
    """A gauge of ours, told by an api pod of production."""
    told = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {f"cloudigrade_{name}{{{API}{told}}}": values}


def sqs(queue: str, values: str) -> Values:
    """The length of an SQS queue."""
    return gauge("sqs_queue_length", values, queue_name=queue)


def runs(name: str, state: str, values: str) -> Values:
    """Ends of a task."""
    return gauge("task_runs_total", values, name=name, state=state)


def corrections(made: str, explained: str) -> Values:
    """Ends that no log told, and those that a later one did, of two hundred running instances."""
    name, labels = "corrections_total", {"cloud": "aws", "kind": "missed_off"}
    return {
        **gauge(name, made, **labels, explained="false"),
        **gauge(name, explained, **labels, explained="true"),
        **gauge("running_instances", "200x230"),
    }


def lags(young: str, every: str) -> Values:
    """Events that were stored within a quarter of an hour, and all."""
    name = "ingest_event_age_seconds_bucket"
    return {
        **gauge(name, young, cloud="aws", le="900.0"),
        **gauge(name, every, cloud="aws", le="7200.0"),
        **gauge(name, every, cloud="aws", le="+Inf"),
    }


def covered(**numbers: str) -> Values:
    """How many AWS accounts were in each state yesterday."""
    return {
        series: value
        for state, values in numbers.items()
        for series, value in gauge("coverage_accounts", values, cloud="aws", state=state).items()
    }


def waiting(length: str, processed: str) -> Values:
    """Notifications that wait, and when a log file was processed last."""
    return {
        **sqs("cloudtrail_notifications", length),
        **gauge("last_ingest_timestamp_seconds", processed, cloud="aws"),
    }


def periodic(name: str, *, period: int, sent: str) -> Values:
    """A periodic task that is switched on, and when it was last sent."""
    return {
        **gauge("periodic_task_period_seconds", f"{period}x400", name=name),
        **gauge("periodic_task_last_sent_timestamp_seconds", sent, name=name),
    }


def threshold(
    alert: str, name: str, limit: int, minutes: int, kept: Sequence[str] = (), **labels: str
) -> list[Case]:
    """The cases of a gauge that must not be above a limit for some minutes.

    ``kept`` are the labels of the series that the alert has too.
    """
    low, high = limit, limit + 1
    return [
        Case(
            alert,
            "above its limit for long enough, then not",
            gauge(name, f"{low}x9 {high}x{minutes + 20} {low}x60", **labels),
            on=[10 + minutes, 10 + minutes + 20],
            off=[0, 9, 9 + minutes, minutes + 31, minutes + 60],
            labels={**PROD, **{label: labels[label] for label in kept}},
        ),
        Case(
            alert,
            "above its limit for a moment only",
            gauge(name, f"{low}x9 {high}x{minutes - 2} {low}x60", **labels),
            off=[*range(0, minutes + 60, 3)],
        ),
    ]


ELSEWHERE = 'job="another-service",namespace="prod"'
STAGE = 'job="cloudigrade-api",namespace="stage"'

CASES: list[Case] = [
    # The API
    Case(
        "CloudigradeApiFails",
        "every tenth response is an error, for a while",
        {**responses("200", "0+90x300"), **responses("500", "0x30 0+10x60 600x210")},
        on=[60, 85],
        off=[0, 30, 40, 110, 200],
    ),
    Case(
        "CloudigradeApiFails",
        "a burst of errors in a day of many requests",
        {**responses("200", "0+900x300"), **responses("500", "0x100 0+200x2 400x100")},
        off=[*range(90, 160, 5)],
    ),
    Case(
        "CloudigradeApiFails",
        "another service fails, and so does stage",
        {
            **responses("200", "0+90x300"),
            **responses("500", "0x300"),
            **responses("500", "0+90x300", of=ELSEWHERE),
            **responses("200", "0+90x300", of=STAGE),
            **responses("500", "0+90x300", of=STAGE),
        },
        on=[120],
        labels={"namespace": "stage"},
    ),
    Case(
        "CloudigradeApiIsSlow",
        "a tenth of the requests is slow, for two hours",
        latencies(fast="0+10x60 600+9x120 1680+10x200", slow="0+10x380"),
        on=[120, 180],
        off=[0, 60, 64, 210, 250],
    ),
    Case(
        "CloudigradeApiIsAway",
        "production tells nothing for an hour, stage goes on",
        {
            **gauge("celery_queue_length", "0x30 _x60 0x60", queue_name="celery"),
            f'cloudigrade_celery_queue_length{{{STAGE},queue_name="celery"}}': "0x150",
        },
        on=[46, 60, 90],
        off=[0, 30, 44, 92, 140],
    ),
    Case(
        "CloudigradeApiIsAway",
        "nothing was ever told",
        {"up": "0x60"},
        on=[10],
        off=[9],
        labels={},
    ),
    Case(
        "CloudigradeDatabaseIsAway",
        "production's database is away for an hour, stage's is not",
        {
            **gauge("stale_usage_ranges", "0x30 _x60 0x60"),
            f"cloudigrade_stale_usage_ranges{{{STAGE}}}": "0x150",
        },
        on=[41, 60, 90],
        off=[0, 30, 39, 92],
    ),
    # Queues
    Case(
        "CloudigradeDeadLetters",
        "a letter that fails again half an hour after it was moved back, and then no more",
        sqs("cloudtrail_notifications_dlq", "0x9 1x19 0x29 1x29 0x120"),
        on=[25, 30, 50, 65, 90, 110],
        off=[0, 9, 24, 140, 200],
        labels={**PROD, "queue_name": "cloudtrail_notifications_dlq"},
    ),
    Case(
        "CloudigradeDeadLetters",
        "a queue of another kind is full",
        sqs("cloudtrail_notifications", "900x60"),
        off=[0, 30, 60],
    ),
    *threshold(
        "CloudigradeIngestIsLate",
        "sqs_queue_length",
        1000,
        30,
        queue_name="cloudtrail_notifications",
    ),
    *threshold(
        "CloudigradeInspectionResultsAreLate",
        "sqs_queue_length",
        100,
        30,
        queue_name="houndigrade_results",
    ),
    *threshold(
        "CloudigradeTasksWait",
        "celery_queue_length",
        1000,
        30,
        kept=["queue_name"],
        queue_name="enable_account",
    ),
    Case(
        "CloudigradeBacklogGrows",
        "more and more tasks wait, until workers come",
        gauge("celery_queue_length", "60+1x200 10x200", queue_name="enable_account"),
        on=[160, 200],
        off=[0, 205, 300],
        labels={**PROD, "queue_name": "enable_account"},
    ),
    Case(
        "CloudigradeBacklogGrows",
        "a large backlog that gets smaller, and a small one that comes and goes",
        {
            **gauge("celery_queue_length", "900-1x300", queue_name="enable_account"),
            **gauge("celery_queue_length", "0+100x3 0+100x3 0+100x300", queue_name="analyze_log"),
        },
        off=[60, 120],
    ),
    Case(
        "CloudigradeQueueLengthsAreOld",
        "the lengths were not looked up for an hour",
        gauge(
            "sqs_queue_length_checked_timestamp_seconds",
            "0+60x30 1800x60 5460+60x60",
            queue_name="houndigrade_results",
        ),
        on=[67, 90],
        off=[0, 30, 60, 92, 120],
        labels={**PROD, "queue_name": "houndigrade_results"},
    ),
    Case(
        "CloudigradeQueueLengthsAreOld",
        "the lengths have never been looked up",
        sqs("houndigrade_results", "0x60"),
        on=[15],
        off=[14],
    ),
    # Workers and beat
    Case(
        "CloudigradeTasksFail",
        "a task fails every time, for an hour",
        {
            **runs("analyze_log", "SUCCESS", "0+2x60 120x60 120+2x200"),
            **runs("analyze_log", "FAILURE", "0x60 0+2x60 120x200"),
            **runs("enable_account", "SUCCESS", "0+1x320"),
            **runs("enable_account", "FAILURE", "0+1x20 20x300"),
        },
        on=[110, 130],
        off=[0, 60, 90, 170, 250],
        labels={**PROD, "name": "analyze_log"},
    ),
    Case(
        "CloudigradeTasksFail",
        "a daily task fails",
        {
            **runs("delete_inactive_users", "SUCCESS", "3x300"),
            **runs("delete_inactive_users", "FAILURE", "0x60 1x240"),
        },
        on=[80, 110],
        off=[60, 125],
        labels={**PROD, "name": "delete_inactive_users"},
    ),
    Case(
        "CloudigradeTasksAreSetAside",
        "a task is set aside, and released after an hour",
        gauge("set_aside_tasks", "_x29 1x60 _x60", name="enable_account"),
        on=[32, 60, 90],
        off=[0, 28, 29, 100],
        labels={**PROD, "name": "enable_account"},
    ),
    Case(
        "CloudigradeWorkersAreIdle",
        "all workers are away for half an hour; stage's are not",
        {
            **runs("analyze_log", "SUCCESS", "0+2x60 120x30 120+2x60"),
            **runs("analyze_log", "FAILURE", "0x150"),
            f'cloudigrade_task_runs_total{{{STAGE},name="analyze_log",state="SUCCESS"}}': "0+2x150",
        },
        on=[81, 90],
        off=[30, 60, 78, 93, 120],
    ),
    Case(
        "CloudigradeSchedulerIsSilent",
        "beat is away for two hours",
        {
            **periodic("analyze_log_every_2_mins", period=30, sent="0+60x30 1800x120 9000+60x100"),
            **periodic("delete_inactive_users", period=86400, sent="0x300"),
            **gauge("stale_usage_ranges", "0x400"),
        },
        on=[47, 100, 150],
        off=[0, 30, 45, 152, 200],
        labels={**PROD, "name": "analyze_log_every_2_mins"},
    ),
    Case(
        "CloudigradeSchedulerIsSilent",
        "beat has never been there, or everything is switched off",
        gauge("stale_usage_ranges", "0x60"),
        on=[5],
        off=[4],
    ),
    Case(
        "CloudigradeSchedulerIsSilent",
        "beat's clock is five minutes behind",
        {
            **periodic("analyze_log_every_2_mins", period=30, sent="-300+60x100"),
            **gauge("stale_usage_ranges", "0x400"),
        },
        off=[10, 60, 100],
    ),
    # What is stored
    Case(
        "CloudigradeInspectionBacklog",
        "many images wait for a day",
        {
            **gauge("inspection_images", "60x9 101x1500 0x60", status="pending"),
            **gauge("inspection_images", "0x1600", status="inspecting"),
            **gauge("inspection_images", "500x1600", status="error"),
        },
        on=[1450, 1500],
        off=[0, 9, 1440, 1520],
    ),
    *threshold("CloudigradeUsageIsStale", "usage_oldest_stale_seconds", 600, 5),
    *threshold("CloudigradeReplicaIsOfNoUse", "replica_lag_seconds", 60, 10),
    Case(
        "CloudigradeReplicaIsOfNoUse",
        "no process can read from it for a quarter of an hour",
        gauge("replica_up", "1x9 0x20 1x60"),
        on=[21, 28],
        off=[0, 9, 15, 31, 60],
    ),
    *threshold("CloudigradeUsageIsNotTold", "push_oldest_seconds", 900, 5),
    Case(
        "CloudigradeEventsAreOld",
        "a tenth of the events is two hours old, for some hours",
        lags(young="0+10x60 600+8x180 2040+10x200", every="0+10x440"),
        on=[110, 240],
        off=[0, 60, 70, 310, 400],
        labels={**PROD, "cloud": "aws"},
    ),
    Case(
        "CloudigradeIngestStands",
        "nothing is processed for an hour while a notification waits",
        waiting(length="0x20 3x80 0x60", processed="0+60x20 1200x80 6120+60x60"),
        on=[70, 99],
        off=[0, 20, 40, 62, 102, 150],
    ),
    Case(
        "CloudigradeIngestStands",
        "a quiet fleet, whose one notification a day is processed at once",
        waiting(length="0x100 1x2 0x100", processed="0x102 6180x100"),
        off=[*range(0, 200, 5)],
    ),
    Case(
        "CloudigradeIngestStands",
        "notifications wait, and nothing was ever processed",
        sqs("cloudtrail_notifications", "0x20 3x60 0x60"),
        on=[40, 80],
        off=[0, 20, 34, 82],
    ),
    Case(
        "CloudigradeDaysArePartial",
        "two accounts of a hundred, for an hour; those that are off do not count",
        covered(partial="1x60 2x60 1x60", complete="99x60 98x60 99x60", off="5000x180"),
        on=[80, 120],
        off=[0, 60, 70, 125, 170],
    ),
    *threshold("CloudigradeReconcileIsOverdue", "reconcile_overdue_accounts", 0, 120),
    *threshold("CloudigradeProblematicRuns", "problematic_runs", 0, 180),
    # AWS
    *threshold(
        "CloudigradeAwsAccountUnseen",
        "aws_unseen_seconds",
        86400,
        5,
        ["aws_account_id"],
        aws_account_id="123456789013",
    ),
    *threshold(
        "CloudigradeAwsScanFails",
        "aws_failing_regions",
        0,
        420,
        ["aws_account_id"],
        aws_account_id="123456789013",
    ),
    # Azure
    *threshold(
        "CloudigradeAzureSubscriptionRefused",
        "azure_refused_polls",
        2,
        5,
        ["subscription_id"],
        subscription_id="d9812b28-6286-4501-9cd5-f43b2a455364",
    ),
    *threshold(
        "CloudigradeAzureSubscriptionUnseen",
        "azure_unseen_seconds",
        86400,
        5,
        ["subscription_id"],
        subscription_id="d9812b28-6286-4501-9cd5-f43b2a455364",
    ),
    *threshold(
        "CloudigradeAzureScaleSetUnreadable",
        "azure_unreadable_scale_sets",
        0,
        5,
        ["subscription_id"],
        subscription_id="d9812b28-6286-4501-9cd5-f43b2a455364",
    ),
    # The sources service
    Case(
        "CloudigradeListenerIsDown",
        "the listener hangs for half an hour",
        {
            "cloudigrade_listener_heartbeat_timestamp_seconds"
            + f"{{{API}}}": "0+60x30 1800x30 3660+60x60"
        },
        on=[42, 60],
        off=[0, 30, 39, 62, 100],
    ),
    Case(
        "CloudigradeListenerIsDown",
        "production's listener is gone, stage's goes on",
        {
            f"cloudigrade_listener_heartbeat_timestamp_seconds{{{API}}}": "0+60x30 _x60 5460+60x60",
            f"cloudigrade_listener_heartbeat_timestamp_seconds{{{STAGE}}}": "0+60x150",
        },
        on=[41, 90],
        off=[0, 30, 38, 93],
    ),
    Case(
        "CloudigradeListenerIsDown",
        "there has never been one",
        {"up": "0x60"},
        on=[5],
        off=[4],
        labels={},
    ),
    *threshold("CloudigradeListenerLags", "listener_lag_messages", 1000, 15),
    *threshold("CloudigradeSourcesMessagesFail", "inbox_messages", 0, 15, state="dead"),
    Case(
        "CloudigradeCleanupRefuses",
        "a run refused, and none for more than a day after it",
        gauge("cleanup_refused_total", "0x30 1x1600"),
        on=[60, 1500],
        off=[0, 30, 40, 1600],
    ),
    Case(
        "CloudigradeCleanupRefuses",
        "the first run of all refused: its series does not begin with 0",
        gauge("cleanup_refused_total", "_x30 1x1700"),
        on=[60, 1500],
        off=[0, 30, 40, 1600],
    ),
    Case(
        "CloudigradeCleanupRefuses",
        "no run refused for more than a day",
        gauge("cleanup_refused_total", "3x3000"),
        off=[1600, 2000, 3000],
    ),
    *threshold("CloudigradeSourcesMessagesWait", "inbox_oldest_waiting_seconds", 3600, 15),
    *threshold("CloudigradeOutboxWaits", "outbox_oldest_waiting_seconds", 3600, 15),
    Case(
        "CloudigradeLogsAreMissing",
        "one file",
        gauge("audit_missing_objects_total", "0x30 1x120"),
        on=[32, 80],
        off=[0, 29, 100, 140],
    ),
    Case(
        "CloudigradeLogsAreUnprocessed",
        "three files",
        gauge("audit_unprocessed_objects_total", "0x30 3x120"),
        on=[32, 80],
        off=[0, 29, 100, 140],
    ),
    Case(
        "CloudigradeEventsAreLost",
        "three of two hundred instances, of which two are explained later",
        corrections("0x30 3x200", "0x120 2x110"),
        on=[60, 110],
        off=[0, 29, 40, 130, 200],
    ),
    Case(
        "CloudigradeEventsAreLost",
        "one of two hundred instances",
        corrections("0x30 1x200", "0x230"),
        off=[*range(0, 230, 5)],
    ),
    Case(
        "CloudigradeNumberUnexplained",
        "one mismatch",
        gauge("explain_mismatch_total", "0x30 1x120"),
        on=[32, 80],
        off=[0, 29, 100, 140],
    ),
]
