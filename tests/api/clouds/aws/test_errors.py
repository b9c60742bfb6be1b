"""What errors of AWS mean (spec 04 §3.5, §3.6, §6.2)."""

import logging

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from api.clouds.aws import errors
from api.clouds.aws.errors import AwsError, AwsThrottlingError


def refusal(code, status=400):
    answer = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "DescribeImages")


def raising(error):
    @errors.translated
    def work():
        raise error

    return work


@pytest.mark.parametrize("code", sorted(errors.ACCESS_DENIED))
def test_access_denied_ends_a_task_quietly(code, caplog):
    with caplog.at_level(logging.WARNING):
        assert raising(refusal(code))() is None
    assert code in caplog.text


@pytest.mark.parametrize("code", ["ThrottlingException", "RequestLimitExceeded"])
def test_throttling_is_to_be_retried(code):
    with pytest.raises(AwsThrottlingError):
        raising(refusal(code))()


def test_other_codes_become_plain_text():
    with pytest.raises(AwsError) as raised:
        raising(refusal("Weird"))()
    assert "ClientError" in str(raised.value)
    assert "Weird" in str(raised.value)
    assert "no" in str(raised.value)
    assert all(isinstance(part, str) for part in raised.value.args)


def test_other_exceptions_pass():
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())()
    assert errors.translated(lambda value: value + 1)(1) == 2


@pytest.mark.parametrize(
    "error",
    [
        refusal("RequestLimitExceeded"),
        refusal("SlowDown", 503),
        refusal("Whatever", 500),
        refusal("InternalError"),
        EndpointConnectionError(endpoint_url="http://x"),
        ReadTimeoutError(endpoint_url="http://x"),
        ResponseParserError("<html>502 Bad Gateway</html>"),
        AwsThrottlingError("x"),
    ],
)
def test_what_may_pass_by_itself(error):
    assert errors.is_transient(error)


@pytest.mark.parametrize("error", [refusal("AccessDenied", 403), refusal("Weird"), ValueError()])
def test_what_will_not(error):
    assert not errors.is_transient(error)
