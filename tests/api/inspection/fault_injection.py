"""Workers that are killed at a given place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class KilledError(BaseException):
    """The worker is gone, without a chance to say anything."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, after: bool) -> Iterator:
    """Kill the worker before, or after, it calls a function; once."""
    original = getattr(module, name)

    def call(*args: Any, **kwargs: Any) -> None:
        if after:
            original(*args, **kwargs)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(module, name, call)
        with pytest.raises(KilledError):
            yield
