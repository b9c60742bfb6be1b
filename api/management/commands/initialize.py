"""Prepares everything that the API needs before it serves (spec 08 §12.1)."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from types import FrameType
from typing import Any, TextIO

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from api.management.base import OperatorCommand
from api.management.logged import logged
from api.management.values import positive
from cloudigrade.settings.environment import env
from util.migrations import migrate_alone, wait_for_database
from util.webhook import post_text

logger = logging.getLogger(__name__)

AWS_STEPS = ("provisionaws", "configurequeues", "syncbucketlifecycle")


class Command(OperatorCommand):
    """Migrates the database, then makes AWS ready, then tells a webhook.

    Without migrations the API must not serve; without AWS it may, unless CLOUDIGRADE_INIT_STRICT
    says otherwise.
    """

    help = "Wait for the database, migrate it, provision AWS; what an init container does."
    requires_system_checks: list[str] = []

    def __init__(
        self, stdout: TextIO | None = None, stderr: TextIO | None = None, **options: Any
    ) -> None:
        super().__init__(stdout, logged(stderr, logger, logging.ERROR), **options)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--wait",
            type=positive,
            default=600,
            help="seconds to wait for the database, or for a lock",
        )
        parser.add_argument(
            "--aws-timeout", type=positive, default=120, help="seconds for each step that needs AWS"
        )

    def handle(self, *, wait: int, aws_timeout: int, **options: Any) -> None:
        """Take all steps; the exit code is 0 if nothing failed that matters.

        Raises CommandError for a database of the original, with which nothing can be done.
        """
        # What the steps write is for people.
        for_people = logged(None, logger) or (sys.stderr if self.wants_json else sys.stdout)
        with redirect_stdout(for_people):
            outcomes = _take_steps(wait, aws_timeout)
        _notify(outcomes)
        if self.wants_json:
            self.tell(outcomes, "")
        failed = [step for step, succeeded in outcomes.items() if not succeeded]
        if "migrate" in failed or (failed and env("CLOUDIGRADE_INIT_STRICT")):
            sys.exit(1)


def _take_steps(wait: int, aws_timeout: int) -> dict[str, bool]:
    outcomes = {"migrate": _attempt("migrate", partial(_migrate, wait))}
    if outcomes["migrate"]:
        for step in AWS_STEPS:
            outcomes[step] = _attempt(step, partial(_run, step, aws_timeout))
    return outcomes


def _attempt(name: str, step: Callable[[], None]) -> bool:
    try:
        step()
    except CommandError as error:
        if error.returncode != 1:
            raise
        logger.exception("Step %s failed", name)
        return False
    except Exception:
        logger.exception("Step %s failed", name)
        return False
    logger.info("Step %s is done", name)
    return True


def _migrate(wait: int) -> None:
    wait_for_database(wait)
    migrate_alone(wait)


def _run(command: str, seconds: int) -> None:
    with _deadline(seconds):
        call_command(command)


@contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block if it takes longer: AWS may be there and not answer."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"gave up after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _notify(outcomes: dict[str, bool]) -> None:
    url = env("DEPLOY_NOTIFICATION_URL")
    if url:
        summary = ", ".join(f"{step} {'ok' if ok else 'FAILED'}" for step, ok in outcomes.items())
        version = settings.CLOUDIGRADE_VERSION or "unknown"
        post_text(url, f"{settings.CLOUDIGRADE_ENVIRONMENT}-{version} -- {summary}")
