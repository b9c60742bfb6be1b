"""The fixtures of tests/plugin.py lead to services that answer."""

import os

import boto3
import pytest
import requests
from django.db import connection

from tests.deployment.messages import carried


@pytest.mark.django_db
def test_database_is_postgresql():
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        assert "PostgreSQL" in cursor.fetchone()[0]


def test_redis_is_empty_for_each_test(redis_client):
    assert redis_client.dbsize() == 0
    redis_client.set("left", "behind")


test_redis_is_empty_again = test_redis_is_empty_for_each_test


def test_kafka_carries_messages_with_headers(kafka):
    message = carried(kafka, "tests.fixtures", b"value", headers={"event_type": b"Test"})
    assert message is not None
    assert message.value() == b"value"
    assert message.headers() == [("event_type", b"Test")]


def test_aws_is_found_through_the_environment_and_empty(aws):
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert boto3.client("s3").list_buckets()["Buckets"] == []
    boto3.client("s3").create_bucket(Bucket="left-behind")


test_aws_is_empty_again = test_aws_is_found_through_the_environment_and_empty


def test_sources_is_found_through_the_environment_and_empty(sources_api):
    url = f"{os.environ['SOURCES_API_BASE_URL']}/api/sources/v3.0/sources/7"
    assert requests.get(url, timeout=10).status_code == 404
    sources_api.add("sources", {"id": "7"})
    assert requests.get(url, timeout=10).json() == {"id": "7"}


test_sources_is_empty_again = test_sources_is_found_through_the_environment_and_empty
