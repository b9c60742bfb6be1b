"""What is drawn at random is not repeated by CI when it fails (decision 190)."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployment.local.service import REPOSITORY


@pytest.fixture
def repetitions(request):
    marker = request.node.get_closest_marker("flaky")
    return marker and marker.kwargs["reruns"]


@pytest.mark.random_history
def test_random_histories(repetitions):
    assert repetitions == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.just(0))
def test_hypothesis(repetitions, number):
    assert repetitions == number


def test_all_others(repetitions):
    assert repetitions is None


def test_what_draws_at_random_and_has_threads_is_marked():
    """Seeds do not say how threads run: what fails may pass when it is repeated."""
    for path in (REPOSITORY / "tests" / "api").rglob("test_*.py"):
        text = path.read_text()
        if "random.Random(" in text and re.search("in_thread|import threading", text):
            assert "pytest.mark.random_history" in text, path
