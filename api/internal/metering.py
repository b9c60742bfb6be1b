"""Routes that start what keeps runs and usage right (spec 02 §7, 07 §4.4, §9)."""

from collections.abc import Mapping
from typing import Any

from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.parsing import optional_date, optional_id, optional_moment
from api.internal.resources import RUNS
from api.internal.views import ActionView
from api.metering.problems import problematic_runs
from util.tasks import enqueue


class RecalculateRunsView(ActionView):
    """Recalculate the runs of one account, or of all."""

    def post(self, request: Request) -> Response:
        """Queue it."""
        members = self.input(request)
        account_id = optional_id(members, "cloud_account_id")
        since = optional_moment(members, "since")
        if account_id is None:
            enqueue("api.tasks.recalculate_runs_for_all_cloud_accounts", since)
        else:
            enqueue("api.tasks.recalculate_runs_for_cloud_account_id", account_id, since)
        return Response(status=status.HTTP_202_ACCEPTED)


class RecalculateConcurrentUsageView(ActionView):
    """Calculate the usage of one user, or of all, where it is out of date."""

    def post(self, request: Request) -> Response:
        """Queue it."""
        members = self.input(request)
        user_id = optional_id(members, "user_id")
        since = optional_date(members, "since")
        if user_id is None:
            enqueue("api.tasks.recalculate_concurrent_usage_for_all_users", since)
        else:
            enqueue("api.tasks.recalculate_concurrent_usage_for_user_id", user_id, since)
        return Response(status=status.HTTP_202_ACCEPTED)


class ProblematicRunsView(ActionView):
    """Runs that are open although their instance was switched off."""

    def get(self, request: Request) -> Response:
        """List them all, without pages, by id."""
        runs = problematic_runs(user_id=_user_id(request.query_params))
        return Response(RUNS.serializer(runs, many=True).data)

    def post(self, request: Request) -> Response:
        """Queue their repair, if there are any, and answer with the id of the task."""
        user_id = _user_id(self.input(request))
        run_ids = list(problematic_runs(user_id=user_id).values_list("id", flat=True))
        self.audit(f"{len(run_ids)} runs")
        if not run_ids:
            return Response(status=status.HTTP_202_ACCEPTED)
        task_id = enqueue("api.tasks.fix_problematic_runs", run_ids)
        return Response({"async_result_id": task_id}, status=status.HTTP_202_ACCEPTED)


def _user_id(members: Mapping[str, Any]) -> int | None:
    value = members.get("user_id")
    if value in (None, ""):
        return None
    try:
        return optional_id(members, "user_id") or 0
    except ValidationError as error:
        raise ValidationError({"user_id": ["A valid integer is required."]}) from error
