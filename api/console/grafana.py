"""Grafana's panels beside the console's tables (spec 12 §1): each leads to the other.

A test compares these with the dashboard in ``deployment/dashboards/``.
"""

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.conf import settings

OF_THE_PAGE = ""
"""Panels that lead to the first page as a whole."""

PANELS = {
    OF_THE_PAGE: (
        (2, "api: ready of wanted pods"),
        (3, "api: average over 24 h"),
        (4, "worker: ready of wanted pods"),
        (5, "worker: average over 24 h"),
        (6, "listener: ready of wanted pods"),
        (7, "listener: average over 24 h"),
        (8, "beat: ready of wanted pods"),
        (9, "beat: average over 24 h"),
        (11, "CPU"),
        (12, "Memory"),
        (13, "CPU as share of the limit"),
        (14, "Memory as share of the limit"),
        (16, "Total 2xx"),
        (17, "Total 3xx"),
        (18, "Total 4xx"),
        (19, "Total 5xx"),
        (20, "Success rate"),
        (21, "Error rate"),
        (22, "Responses by status"),
        (23, "Response time"),
        (51, "Disk use"),
        (52, "Size of tables"),
        (53, "Estimated rows of tables"),
    ),
    "queues-now": (
        (25, "Celery queues: length"),
        (26, "Celery queues: change per second"),
        (27, "SQS queues: length"),
        (28, "SQS queues: change per second"),
        (29, "SQS queues: age of the last look"),
        (30, "Messages of the sources service not done with"),
        (31, "Listener: messages"),
        (32, "Listener: messages behind"),
    ),
    "needs-a-look": (
        (34, "Oldest newest log: the ten accounts that lag most"),
        (35, "User-days that wait for their calculation"),
        (36, "Age of the oldest range that waits"),
        (37, "Problematic runs"),
        (39, "Tasks that were run, by how they ended"),
        (40, "Tasks that did not succeed"),
        (41, "Run time of tasks, mean"),
        (42, "Share of workers' time by task"),
        (43, "Failures by exception, from the exporter"),
        (44, "Run time, 95 %, from the exporter"),
    ),
    "freshness": (
        (46, "CloudTrail messages by outcome"),
        (47, "Messages of the sources service by result"),
        (48, "Runs written"),
        (49, "User-days calculated"),
    ),
    "accounts": ((34, "Oldest newest log: the ten accounts that lag most"),),
}
"""The id and title of each panel that leads to a table, by the table's name."""


class Panel(NamedTuple):
    """A panel, and where Grafana shows it alone."""

    title: str
    url: str


def panels_of(table: str) -> list[Panel]:
    """Return the panels beside a table; none where Grafana is not known."""
    dashboard = settings.GRAFANA_DASHBOARD_URL
    if not dashboard:
        return []
    return [Panel(title, _alone(dashboard, number)) for number, title in PANELS.get(table, ())]


def _alone(dashboard: str, number: int) -> str:
    """Return the URL of one panel, with the variables that the dashboard's URL has."""
    parts = urlsplit(dashboard)
    query = [*parse_qsl(parts.query), ("viewPanel", str(number))]
    return urlunsplit(parts._replace(query=urlencode(query)))
