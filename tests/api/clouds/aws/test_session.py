"""Sessions in customers' accounts (spec 04 §3.1, §11)."""

import contextlib
import json
import socket
import threading
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from api.clouds.aws import session
from api.clouds.aws.arn import parse_arn
from api.clouds.aws.policy import policy_document
from api.clouds.aws.session import clients
from tests.threads import in_threads
from util import clock

ARN = parse_arn("arn:aws:iam::012345678901:role/r")
OTHER = parse_arn("arn:aws:iam::210987654321:role/r")


def test_the_role_is_assumed_with_our_policy(requests):
    clients.of_customer(ARN, "ec2").describe_regions()
    (assumed,) = [request for request in requests if request.action == "AssumeRole"]
    assert assumed.parameters.pop("Policy") == json.dumps(policy_document())
    assert assumed.parameters == {
        "RoleArn": "arn:aws:iam::012345678901:role/r",
        "RoleSessionName": "cloudigrade-012345678901",
    }


def test_calls_act_in_the_customers_account_and_region(aws):
    clients.of_customer(ARN, "ec2").describe_regions()
    clients.of_customer(OTHER, "ec2", "eu-west-1").describe_regions()
    described = [call for call in aws.calls() if call["action"] == "DescribeRegions"]
    assert [(call["account"], call["region"]) for call in described] == [
        ("012345678901", "us-east-1"),
        ("210987654321", "eu-west-1"),
    ]


def test_credentials_and_clients_are_used_again(requests):
    first = clients.of_customer(ARN, "ec2")
    assert clients.of_customer(ARN, "ec2") is first
    clients.of_customer(ARN, "ec2", "eu-west-1")
    assert [request.action for request in requests] == ["AssumeRole"]


def test_credentials_are_renewed_before_they_end(requests, monkeypatch):
    first = clients.of_customer(ARN, "ec2")
    moment = clock.now() + timedelta(minutes=56)
    monkeypatch.setattr(clock, "now", lambda: moment)
    assert clients.of_customer(ARN, "ec2") is not first
    assert [request.action for request in requests] == ["AssumeRole"] * 2


def test_forgetting_makes_the_next_use_ask_again(requests):
    clients.of_customer(ARN, "ec2")
    clients.forget(ARN)
    clients.of_customer(ARN, "ec2")
    assert [request.action for request in requests] == ["AssumeRole"] * 2


def test_a_process_remembers_only_so_much(aws, monkeypatch):
    monkeypatch.setattr(session, "MAX_CLIENTS", 3)
    monkeypatch.setattr(session, "MAX_ROLES", 2)
    for number in range(5):
        clients.of_customer(parse_arn(f"arn:aws:iam::{number}:role/r"), "sts")
    assert len(clients._clients) == 3
    assert len(clients._roles) == 2


def test_threads_share_clients(aws):
    seen = in_threads(*[lambda: clients.own("sqs", "us-east-1")] * 8)
    assert len(set(map(id, seen))) == 1


def test_our_own_account(aws):
    assert session.primary_account_id() == "123456789012"
    aws.refuse("sts", "GetCallerIdentity", "InvalidClientTokenId", times=1)
    assert session.primary_account_id() is None
    aws.refuse("sts", "GetCallerIdentity", "ExpiredToken", times=1)
    with pytest.raises(ClientError):
        session.primary_account_id()


@pytest.fixture
def hanging(monkeypatch):
    """An AWS that takes connections and answers none; gives those that it has taken."""
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield taken
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def test_who_we_are_is_asked_in_a_hurry(aws, hanging, monkeypatch):
    """A customer waits for the answer, and gunicorn ends whoever takes 30 seconds."""
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    config = clients.own("sts", "us-east-1", short_timeout=True).meta.config
    assert (config.connect_timeout, config.read_timeout) == (3, 5)
    assert config.retries["total_max_attempts"] == 2
    retry_transient = clients.own("sts", "us-east-1").meta.config
    assert retry_transient.read_timeout > config.read_timeout

    clients._clients.clear()
    monkeypatch.setattr(session, "SHORT_READ_TIMEOUT", 0.1)
    with pytest.raises(ReadTimeoutError):
        session.primary_account_id()
    assert len(hanging) == 2
