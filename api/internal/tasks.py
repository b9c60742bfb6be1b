"""Celery tasks by name, and what became of them (spec 02 §7)."""

import json
import logging
import uuid
from typing import Any

from celery import Task, current_app, states
from celery.exceptions import NotRegistered
from django.http import QueryDict
from kombu.exceptions import DecodeError
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.views import ActionView
from util import tasks
from util.redaction import redact

logger = logging.getLogger(__name__)

TASK_MODULE = "api.tasks"
NO_JSON = "The body was read as {}; send JSON with the header Content-Type: application/json."


class TaskSerializer(serializers.Serializer):
    """A task's name and its keyword arguments."""

    task_name = serializers.CharField()
    kwargs = serializers.DictField(required=False, default=dict)


class TasksView(ActionView):
    """Queue any task."""

    def post(self, request: Request) -> Response:
        """Queue it, if it is known and the arguments fit its signature."""
        serializer = TaskSerializer(data=request.data)
        is_form = isinstance(request.data, QueryDict)
        if not serializer.is_valid() or (is_form and "kwargs" in request.data):
            hint = {"error": NO_JSON.format(request.content_type)} if is_form else {}
            raise ValidationError({**serializer.errors, **hint})
        name, kwargs = serializer.validated_data["task_name"], serializer.validated_data["kwargs"]
        self.audit(f"task {name}")
        _check_arguments(_registered(name), kwargs)
        task_id = str(uuid.uuid4())
        tasks.publish(name, args=[], kwargs=kwargs, countdown=None, task_id=task_id)
        return Response({"async_result_id": task_id}, status=status.HTTP_201_CREATED)


def _registered(name: str) -> Task:
    # Only here does the web process need the tasks' code, which brings the clouds' SDKs along.
    current_app.loader.import_task_module(TASK_MODULE)
    try:
        return current_app.tasks[name]
    except NotRegistered as error:
        raise ValidationError({"error": f"not a registered task name: {name}"}) from error


def _check_arguments(task: Task, kwargs: dict[str, Any]) -> None:
    try:
        task.__header__(**kwargs)
    except TypeError as error:
        raise ValidationError({"error": str(error)}) from error


class TaskResultView(ActionView):
    """What became of a task."""

    def get(self, request: Request, async_result_id: str) -> Response:
        """Return whether it ended and with what: a result, or the exception that it raised."""
        return Response({"async_result_id": async_result_id, **_outcome(async_result_id)})


def _outcome(task_id: str) -> dict[str, Any]:
    try:
        meta = current_app.backend.get_task_meta(task_id)
        state, value = meta["status"], meta["result"]
    except (DecodeError, ValueError, KeyError, TypeError, AttributeError):
        # Anybody can write to Redis what is no result.
        logger.warning("The result of task %r cannot be read", task_id)
        state, value = states.PENDING, None
    if state not in states.READY_STATES:
        return {"ready": False, "result": None}
    if isinstance(value, NotRegistered):
        return {"error": f"not a registered task name: {value.args[0] if value.args else ''}"}
    if isinstance(value, BaseException):
        kind = type(value)
        return {
            "error_class": f"{kind.__module__}.{kind.__qualname__}",
            "error_args": [redact(str(argument)) for argument in value.args],
        }
    return {"ready": True, "result": _plain(value)}


def _plain(value: Any) -> Any:
    """Return the value if JSON can carry it, else its text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
