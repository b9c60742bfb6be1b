"""Errors on request: scenario 30 (spec 02 §7, §14)."""

import logging

import pytest

from tests.api.internal.callers import ANYBODY

pytestmark = pytest.mark.django_db

SERVER_ERROR = {"detail": "A server error occurred."}


def _error(body):
    response = ANYBODY.post("/internal/error/", body)
    return response.status_code, response.json()


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (
            {"name": "ValidationError", "kwargs": {"detail": {"potato": "is precious"}}},
            400,
            {"potato": "is precious"},
        ),
        ({"name": "Nope"}, 400, ["Invalid input."]),
        ({}, 400, ["Invalid input."]),
        ({"name": ["ValidationError"]}, 400, ["Invalid input."]),
        ({"name": "ValidationError", "kwargs": {"potato": 1}}, 400, ["Invalid input."]),
        ({"name": "ValidationError", "kwargs": "detail"}, 400, ["Invalid input."]),
        ({"name": "APIException", "kwargs": {"detail": "oh"}}, 500, {"detail": "oh"}),
        ({"name": "APIException"}, 500, SERVER_ERROR),
        ({"name": "NotReadyException"}, 500, SERVER_ERROR),
        (
            {"name": "ResultsUnavailable"},
            425,
            {"detail": "Results are currently unavailable, try again later."},
        ),
        (
            {"name": "MaximumNumberOfTrailsExceededException"},
            409,
            ["Exceeded maximum number of cloud trails"],
        ),
        ({"name": "NotImplementedAPIException"}, 501, SERVER_ERROR),
        ({"name": "NotFound"}, 404, {"detail": "Not found."}),
        ({"name": "Http404"}, 404, {"detail": "Not found."}),
        ({"name": "ParseError"}, 400, {"detail": "Malformed request."}),
        (
            {"name": "PermissionDenied"},
            403,
            {"detail": "You do not have permission to perform this action."},
        ),
    ],
)
def test_scenario_30_errors_on_request(db, body, status, answer):
    assert _error(body) == (status, answer)


def test_an_error_on_request_is_announced(db, caplog):
    with caplog.at_level(logging.WARNING, "api.internal.failure"):
        _error({"name": "NotFound"})
    assert "NotFound" in caplog.text
    assert ANYBODY.get("/internal/error/").status_code == 405
