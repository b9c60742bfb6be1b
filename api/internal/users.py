"""Users, their task locks, and the schedule: what operators may change (spec 02 §5.5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.browse import browse
from api.internal.fields import QuickRows
from api.internal.resources import PERIODIC_TASKS, USER_TASK_LOCKS, USERS
from api.metering.locking import lock_metering
from api.models import CloudAccount, User
from api.models.locking import lock_users
from api.push import outbox
from util import clock

UNREACHABLE = "account_number or org_id is required."


class InternalUserSerializer(QuickRows, serializers.ModelSerializer):
    """A customer."""

    username = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        """What is shown, in order."""

        model = User
        fields = (
            "id",
            "uuid",
            "username",
            "account_number",
            "org_id",
            "is_permanent",
            "date_joined",
        )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a user whom no request could ever mean (README decision 8)."""
        stored = {name: getattr(self.instance, name, None) for name in ("account_number", "org_id")}
        merged = stored | attrs
        if not merged["account_number"] and not merged["org_id"]:
            raise ValidationError(UNREACHABLE)
        return attrs


class UsersView(
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    browse(USERS, InternalUserSerializer),  # type: ignore[misc]
):
    """Browse `users`; make, change and delete them."""

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change the members that were sent, with PUT as well as with PATCH."""
        return super().update(request, *args, **(kwargs | {"partial": True}))

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        """Store the user together with its task lock."""
        with _unique_or_invalid(serializer):
            serializer.instance = User.objects.create_user(**serializer.validated_data)

    def perform_update(self, serializer: serializers.BaseSerializer) -> None:
        """Store the changes."""
        with _unique_or_invalid(serializer):
            outbox.record_again(serializer.save().id)

    @extend_schema(responses={202: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the user, permanent or not, with all that hangs on it, but not with accounts."""
        user = self.get_object()
        with lock_users([user.id]) as held:
            if not held:
                raise NotFound
            if CloudAccount.objects.filter(user=user).exists():
                text = f"User id {user.id} has related CloudAccounts and cannot be deleted"
                raise ValidationError({"error": text})
            lock_metering(user.id)
            outbox.withdraw([user.id])
            user.delete()
        return Response(status=status.HTTP_202_ACCEPTED)


@contextmanager
def _unique_or_invalid(serializer: serializers.BaseSerializer) -> Iterator[None]:
    """Store in one go. Raises ValidationError if somebody else was quicker to store the same."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        again = type(serializer)(
            serializer.instance, data=serializer.initial_data, partial=serializer.partial
        )
        again.is_valid(raise_exception=True)
        raise


class UserTaskLocksView(mixins.DestroyModelMixin, browse(USER_TASK_LOCKS)):  # type: ignore[misc]
    """Browse `usertasklocks`; remove one that is stuck, tasks make a new one."""


class PeriodicTaskSerializer(serializers.ModelSerializer):
    """An entry of the schedule, of which only the time of the last run can be set."""

    last_run_at = serializers.DateTimeField()

    class Meta:
        """What is shown, in order."""

        model = PeriodicTask
        fields = (
            "id",
            "name",
            "task",
            "args",
            "kwargs",
            "queue",
            "exchange",
            "routing_key",
            "headers",
            "priority",
            "expires",
            "expire_seconds",
            "one_off",
            "start_time",
            "last_run_at",
            "enabled",
            "total_run_count",
            "date_changed",
            "description",
            "interval",
            "crontab",
            "solar",
            "clocked",
        )
        read_only_fields = tuple(name for name in fields if name != "last_run_at")

    def update(self, instance: PeriodicTask, validated_data: dict[str, Any]) -> PeriodicTask:
        """Set the time, and have beat read its schedule again.

        The model's own ``save`` would forget the time of an entry that is switched off.
        """
        if validated_data:
            with transaction.atomic():
                PeriodicTask.objects.filter(pk=instance.pk).update(
                    date_changed=clock.now(), **validated_data
                )
                PeriodicTasks.update_changed()
            instance.refresh_from_db()
        return instance


class PeriodicTasksView(mixins.UpdateModelMixin, browse(PERIODIC_TASKS, PeriodicTaskSerializer)):  # type: ignore[misc]
    """Browse `periodictasks`; make one due by moving its last run."""

    schema = None
