"""Get and transform a whole subscription: its machines, joined with their states (spec 06 §4).

No failure spoils more than what it is about: whatever else can be read is read (decisions 33, 51).
"""

import logging
from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from api.clouds.azure import describe
from api.clouds.azure.architectures import find_architectures
from api.clouds.azure.describe import Entry
from api.clouds.azure.errors import (
    NOT_FOUND,
    AzureBusyError,
    AzureLoginBusyError,
    AzureLoginError,
    AzureRefusedError,
    NotFoundError,
    Problem,
)
from api.clouds.azure.retry_after import is_long
from api.clouds.azure.scan import Scan
from api.clouds.azure.transform import ImageKey, ScaleSet

logger = logging.getLogger(__name__)

SCALE_SETS_AT_ONCE = 4
"""Azure counts the calls of a whole tenant, so few are made at the same time."""

NAMES_IN_LOG = 10

LONG_WAITS_UNTIL_SILENCE = 2
"""Azure counts calls by their kind, so one that has to wait does not mean that others have to."""

GONE = frozenset({"resourcenotfound", "notfound", "resourcegroupnotfound"})
"""In lower case: the codes of a 404 that say that a scale set exists no more (decision 33)."""

_SUBSCRIPTION = "subscription"
"""In lower case: part of the codes of a 404 that speaks of the subscription."""


def scan_subscription(subscription_id: str, *, known_images: Set[ImageKey]) -> Scan:
    """Ask Azure for all machines of a subscription, and for the architecture of unknown images.

    Raises nothing of Azure's: what failed, and what it spoils, is noted in the scan.
    """
    scan, questions = Scan(), _Questions()
    if problem := questions.ask(describe.machines(subscription_id), scan.add_machine):
        scan.lose_machines(problem)
    if problem := questions.ask(describe.machine_states(subscription_id), scan.add_state):
        scan.lose_machines(problem)
    if problem := questions.ask(describe.scale_sets(subscription_id), scan.add_scale_set):
        scan.lose_scale_sets(problem)
        if _is_of_the_whole_subscription(problem):
            scan.lose_machines(problem)
    _add_scale_sets(scan, questions, subscription_id)
    if not questions.are_over:
        scan.architectures = find_architectures(
            subscription_id, scan.machines.values(), known_images=known_images
        )
    if scan.malformed:
        logger.error("Azure listed %s malformed entries in %s", scan.malformed, subscription_id)
    return scan


class _Questions:
    """Asks for lists one after the other, for as long as Azure can be expected to answer.

    It cannot be without a token, or after it asked repeatedly for a wait that is too long for us.
    """

    def __init__(self) -> None:
        self._long_waits = 0
        self._last: Problem | None = None

    @property
    def are_over(self) -> bool:
        """Whether nothing more is asked."""
        return self._last is not None

    def ask(self, entries: Iterator[Entry], add: Callable[[Entry], None]) -> Problem | None:
        """Add all entries of a list; return why they are not all, if they are not."""
        if self._last is not None:
            return self._last
        try:
            for entry in entries:
                add(entry)
        except (AzureBusyError, AzureRefusedError) as problem:
            self._long_waits += isinstance(problem, AzureBusyError) and is_long(problem.retry_after)
            is_over = self._long_waits >= LONG_WAITS_UNTIL_SILENCE
            if is_over or isinstance(problem, AzureLoginError | AzureLoginBusyError):
                self._last = problem
            return problem
        return None


def _add_scale_sets(scan: Scan, questions: _Questions, subscription_id: str) -> None:
    """Ask for the machines of each scale set, but the flexible ones, whose are listed already."""
    wanted = [one for one in scan.scale_sets.values() if not one.is_flexible]
    if not wanted:
        return
    with ThreadPoolExecutor(SCALE_SETS_AT_ONCE) as executor:
        parts = executor.map(partial(_read_scale_set, questions, subscription_id), wanted)
        for scale_set, (part, problem) in zip(wanted, parts, strict=True):
            scan.add_part(scale_set, part, problem)
            if problem is not None and _is_of_the_whole_subscription(problem):
                scan.lose_machines(problem)
    if scan.unreadable:
        logger.warning(
            "%s scale sets of subscription %s cannot be read: %s",
            len(scan.unreadable),
            subscription_id,
            list(scan.unreadable.items())[:NAMES_IN_LOG],
        )


def _read_scale_set(
    questions: _Questions, subscription_id: str, scale_set: ScaleSet
) -> tuple[Scan, Problem | None]:
    """Return the machines of one scale set, and why they are not all; one that is gone has none."""
    part = Scan()
    entries = describe.scale_set_machines(subscription_id, scale_set.resource_group, scale_set.name)
    problem = questions.ask(entries, part.add_member)
    if isinstance(problem, NotFoundError) and problem.code.lower() in GONE:
        logger.info("Scale set %s of %s is gone", scale_set.resource_id, subscription_id)
        return Scan(), None
    return part, problem


def _is_of_the_whole_subscription(problem: Problem) -> bool:
    if isinstance(problem, AzureLoginError):
        return True
    return problem.status == NOT_FOUND and _SUBSCRIPTION in problem.code.lower()
