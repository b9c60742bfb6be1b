"""Find the suites and run them, each on an empty database."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from unittest import mock

from django.core.management import call_command
from django.db import connection

from api.models import MachineImage, User
from tests.benchmarks.suite import Operation, Result, Suite, run
from util import tasks


def run_all(
    modules: Iterable[ModuleType],
    words: Sequence[str],
    rounds: int | None,
    show: Callable[..., None],
) -> list[Result]:
    """Run the operations that any of the words names, or all if there is none."""
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    results = []
    for suite in _suites(modules):
        operations = _chosen(suite, words)
        if not operations:
            continue
        show(suite.title)
        # No broker runs: what is queued outside the measured blocks goes nowhere.
        with mock.patch.object(tasks, "publish"):
            _empty()
            try:
                suite.load()
                _settle()
                for operation in operations:
                    result = run(operation, suite.title, rounds)
                    show(result.name, result)
                    results.append(result)
            finally:
                suite.unload()
    return results


def _suites(modules: Iterable[ModuleType]) -> list[Suite]:
    return [
        member()
        for module in modules
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Suite)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    ]


def _chosen(suite: Suite, words: Sequence[str]) -> list[Operation]:
    """Choose by name; an operation may rest on those before it, so they are run as well."""
    operations = suite.operations()
    if not words or any(word.lower() in suite.title.lower() for word in words):
        return operations
    last = max(
        (
            place
            for place, operation in enumerate(operations)
            if any(word.lower() in operation.name.lower() for word in words)
        ),
        default=-1,
    )
    return operations[: last + 1]


def _empty() -> None:
    """Delete all rows; ids start again."""
    call_command("flush", verbosity=0, interactive=False)
    assert not User.objects.exists()
    assert not MachineImage.objects.exists()


def _settle() -> None:
    """Have statistics as a database that has lived for a while has them."""
    with connection.cursor() as cursor:
        # What autovacuum is looking at during the first pass is only settled by the second.
        for _ in range(2):
            cursor.execute("VACUUM ANALYZE")
