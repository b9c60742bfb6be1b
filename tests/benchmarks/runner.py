"""Find the suites and run them, each in its own process and on an empty database."""

import inspect
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType
from unittest import mock

import django
from django.db import connection

from tests.benchmarks.suite import Operation, Result, Suite, run
from tests.benchmarks.table import show, show_heading
from util import tasks
from util.garbage import freeze_loaded


def run_all(
    modules: Iterable[ModuleType], words: Sequence[str], rounds: int | None
) -> list[Result]:
    """Run the operations that any of the words names, or all if there is none; prints a table.

    Each suite has a process of its own, so that its memory is its own too.
    """
    results = []
    alone = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, alone, _start_process, max_tasks_per_child=1) as processes:
        for suite in _suites(modules):
            if _chosen(suite(), words):
                results += processes.submit(run_suite, suite, words, rounds).result()
    return results


def _start_process() -> None:
    """Load Django as a worker does."""
    django.setup()
    freeze_loaded()


def run_suite(kind: type[Suite], words: Sequence[str], rounds: int | None) -> list[Result]:
    """Run the chosen operations of one suite on an empty database."""
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    suite = kind()
    results: list[Result] = []
    show_heading(suite.title)
    # No broker runs: what is queued outside the measured blocks goes nowhere.
    with mock.patch.object(tasks, "publish"):
        try:
            suite.load()
            _settle()
            for operation in _chosen(suite, words):
                result = run(operation, suite.title, rounds)
                result.compare(results)
                show(result)
                results.append(result)
        finally:
            suite.unload()
            connection.creation.destroy_test_db(name, verbosity=0)
    return results


def _suites(modules: Iterable[ModuleType]) -> list[type[Suite]]:
    return [
        member
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


def _settle() -> None:
    """Have statistics as a database that has lived for a while has them."""
    with connection.cursor() as cursor:
        # What autovacuum is looking at during the first pass is only settled by the second.
        for _ in range(2):
            cursor.execute("VACUUM ANALYZE")
