"""The tasks of metering: names, arguments by place and by keyword, dates as text (07 §2)."""

import datetime

import pytest
from celery import current_app

from api.metering import problems, recalculate
from api.synthetic import requests, steps
from api.tasks import metering, synthetic

MOMENT = "2021-06-09 04:02:00+04:00"
SINCE = datetime.datetime(2021, 6, 9, 0, 2, tzinfo=datetime.UTC)
DAY = datetime.date(2022, 1, 1)

CASES = [
    (
        metering.recalculate_runs_for_all_cloud_accounts,
        recalculate,
        "recalculate_runs_of_all_accounts",
        [({}, {"since": None}), ({"since": MOMENT}, {"since": SINCE})],
    ),
    (
        metering.recalculate_runs_for_cloud_account_id,
        recalculate,
        "recalculate_runs_of_account",
        [
            ({"cloud_account_id": 7}, {"account_id": 7, "since": None}),
            ({"cloud_account_id": 7, "since": MOMENT}, {"account_id": 7, "since": SINCE}),
        ],
    ),
    (
        metering.recalculate_runs_for_instance_id,
        recalculate,
        "recalculate_runs_of_instance",
        [({"instance_id": 7}, {"instance_id": 7})],
    ),
    (
        metering.recalculate_concurrent_usage_for_all_users,
        recalculate,
        "recalculate_usage_of_all_users",
        [({}, {"since": None}), ({"since": "2022-01-01"}, {"since": DAY})],
    ),
    (
        metering.recalculate_concurrent_usage_for_user_id,
        recalculate,
        "recalculate_usage_of_user",
        [
            ({"user_id": 7}, {"user_id": 7, "since": None}),
            ({"user_id": 7, "since": "2022-01-01T23:59:00-05:00"}, {"user_id": 7, "since": DAY}),
        ],
    ),
    (
        metering.recalculate_concurrent_usage_for_user_id_on_date,
        recalculate,
        "recalculate_usage_of_user_on",
        [({"user_id": 7, "date": "2022-01-01"}, {"user_id": 7, "day": DAY})],
    ),
    (metering.recalculate_stale_usage, recalculate, "recalculate_stale_usage", [({}, {})]),
    (
        metering.fix_problematic_runs,
        problems,
        "fix_problematic_runs",
        [({"run_ids": [1, 2]}, {"run_ids": [1, 2]})],
    ),
    *(
        (task, steps, work, [({"request_id": 7}, {"request_id": 7})])
        for task, work in (
            (synthetic.synthesize_user, "make_user"),
            (synthetic.synthesize_cloud_accounts, "make_accounts"),
            (synthetic.synthesize_images, "make_images"),
            (synthetic.synthesize_instances, "make_instances"),
            (synthetic.synthesize_instance_events, "make_events"),
            (synthetic.synthesize_runs_and_usage, "make_runs_and_usage"),
        )
    ),
    (
        synthetic.synthesize_concurrent_usage,
        steps,
        "make_usage_on",
        [
            (
                {"__": "ignored", "user_id": 7, "on_date": "2022-01-01"},
                {"user_id": 7, "day": DAY},
            )
        ],
    ),
    (
        synthetic.delete_expired_synthetic_data,
        requests,
        "delete_expired_requests",
        [({}, {})],
    ),
]


@pytest.mark.parametrize(
    ("task", "service", "work", "calls"), CASES, ids=[case[0].name for case in CASES]
)
def test_task_calls_its_service(monkeypatch, task, service, work, calls):
    seen = []
    monkeypatch.setattr(service, work, lambda **arguments: seen.append(arguments))
    assert current_app.tasks[task.name] is not None
    for arguments, expected in calls:
        task(**arguments)
        task(*arguments.values())
        assert seen[-2:] == [expected, expected]


@pytest.mark.parametrize("case", CASES, ids=[case[0].name for case in CASES])
def test_task_has_its_route_and_no_retries(case):
    task = case[0]
    assert current_app.conf.task_routes[task.name] == {"queue": task.name.rpartition(".")[2]}
    assert not getattr(task, "autoretry_for", ())
    assert task.acks_late
    assert task.soft_time_limit < task.time_limit


def test_odd_date_is_an_error(db):
    with pytest.raises(ValueError, match="potato"):
        metering.recalculate_concurrent_usage_for_user_id(7, "potato")
