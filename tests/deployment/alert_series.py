"""Cases of alerts, and the series that they are made of.

Values are in promtool's notation, one a minute: ``5x60`` is 61 times a 5, ``0+10x60`` rises by ten,
``_x60`` is nothing. The time of a test begins at 0, so a time stamp of 0 is as old as the test
has lasted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

API = 'job="cloudigrade-api",namespace="prod"'
STAGE = 'job="cloudigrade-api",namespace="stage"'
ELSEWHERE = 'job="another-service",namespace="prod"'
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


def found(alert: str, name: str, number: int, what: str) -> Case:
    """The case of a counter that rises once, which the alert tells for about an hour."""
    return Case(
        alert,
        what,
        gauge(name, f"0x30 {number}x120"),
        on=[32, 80],
        off=[0, 29, 100, 140],
    )
