"""Leaving what is loaded to itself."""

import gc

import pytest
from celery import signals

from cloudigrade import celery_app
from util.garbage import freeze_loaded


@pytest.fixture(autouse=True)
def _unfrozen():
    yield
    gc.unfreeze()


def test_what_is_loaded_is_no_longer_looked_at():
    lives = [{}]
    freeze_loaded()
    assert gc.get_freeze_count() > 1000
    assert not any(one is lives for one in gc.get_objects())


def test_processes_that_run_tasks_do_so():
    assert celery_app is not None
    signals.worker_process_init.send(sender=None)
    assert gc.get_freeze_count() > 1000
