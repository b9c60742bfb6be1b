"""Log lines in CloudWatch (08 §8)."""

import logging
import time

import pytest

from util.cloudwatch import cloudwatch_handler

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def handler(**options):
    return cloudwatch_handler(
        access_key_id="key",
        secret_access_key="secret",
        region="us-east-1",
        log_group_name="cloudigrade-test",
        log_stream_name="stream",
        **{"use_queues": False} | options,
    )


def record(message):
    return logging.makeLogRecord({"name": "probe", "msg": message, "created": time.time()})


def lines(client):
    events = client.get_log_events(
        logGroupName="cloudigrade-test", logStreamName="stream", startFromHead=True
    )
    return [event["message"] for event in events["events"]]


def test_group_stream_and_retention_are_made_and_lines_arrive(aws):
    made = handler(log_group_retention_days=3)
    made.setFormatter(logging.Formatter("%(message)s"))
    made.handle(record("hello"))
    assert lines(made.cwl_client) == ["hello"]
    [group] = made.cwl_client.describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 3
    made.close()


def test_lines_are_sent_in_the_background(aws):
    made = handler(use_queues=True, send_interval=0.1, max_batch_count=10)
    made.setFormatter(logging.Formatter("%(message)s"))
    made.handle(record("hello"))
    made.flush()
    assert lines(made.cwl_client) == ["hello"]
    made.close()


def test_an_aws_that_is_away_stops_nothing_and_is_found_when_it_is_back(aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://127.0.0.1:9")
    made = handler()
    made.handle(record("lost"))
    monkeypatch.delenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")
    back = handler(create_log_group=False)
    back.setFormatter(logging.Formatter("%(message)s"))
    back.handle(record("hello"))
    assert lines(back.cwl_client) == ["hello"]
    made.close()
    back.close()
