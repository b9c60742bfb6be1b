"""For whom and in which task log lines are written (spec 08 §8)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_customer: ContextVar[str | None] = ContextVar("customer", default=None)
_task: ContextVar[str | None] = ContextVar("task", default=None)


def current_customer() -> str | None:
    """Return the customer whose request or message is worked on, such as ``org 7331``."""
    return _customer.get()


def current_task() -> str | None:
    """Return the name of the Celery task that runs; None outside of one."""
    return _task.get()


def set_customer(org_id: str | None, account_number: str | None) -> None:
    """Name the customer until the request or task ends."""
    if org_id or account_number:
        _customer.set(f"org {org_id}" if org_id else f"account {account_number}")


def forget_customer() -> None:
    """Work for nobody in particular."""
    _customer.set(None)


@contextmanager
def task_context(name: str) -> Iterator[None]:
    """Work in a task; for nobody in particular until ``set_customer`` says for whom."""
    task, customer = _task.set(name), _customer.set(None)
    try:
        yield
    finally:
        _customer.reset(customer)
        _task.reset(task)
