"""What Django's admin shows, outside production only: our own work, read-only (spec 12 §2).

What may hold customers' credentials, and what may be large, is not shown; texts of errors stand in
the internal API, where they are masked.
"""

from typing import Any

from django.contrib import admin
from django.db.models import Field, Model
from django.http import HttpRequest

from api import models

HIDDEN = {
    models.InboxMessage: {"value", "headers", "reason", "lease_token"},
    models.OutboxEntry: {"args", "last_error"},
    models.SetAsideTask: {"message"},
    models.IngestHour: {"seen"},
    models.InspectionAttempt: {"result", "arn", "error"},
    models.TrailDigest: {"file_names"},
}

SHOWN: tuple[type[Model], ...] = (
    models.InboxMessage,
    models.OutboxEntry,
    models.SetAsideTask,
    models.StaleUsage,
    models.UsageRevision,
    models.DescribeRun,
    models.Correction,
    models.IngestObject,
    models.IngestHour,
    models.InspectionAttempt,
    models.AccountState,
    models.ImageFact,
    models.InstanceFact,
    models.TrailDigest,
)

FILTERED = ("state", "kind", "outcome", "cause", "reason", "to_state", "event_type")
IN_LISTS = 10


class ReadOnlyAdmin(admin.ModelAdmin):
    """Lists and single rows that nobody can change; lists take no count of the whole table."""

    show_full_result_count = False
    list_per_page = 50

    def __init__(self, model: type[Model], site: admin.AdminSite) -> None:
        shown = [field for field in model._meta.concrete_fields if is_shown(model, field)]
        names: Any = [field.name for field in shown]
        # Django's types know these of the class alone.
        self.fields = names  # type: ignore[misc]
        self.readonly_fields = tuple(names)  # type: ignore[misc]
        # Ids instead of rows, so that a list takes no statement for each of them.
        self.list_display = [field.attname for field in shown[:IN_LISTS]]
        self.list_filter = [  # type: ignore[misc]
            field.name for field in shown if field.name in FILTERED and field.choices
        ]
        self.ordering = ("-pk",)  # type: ignore[misc]
        super().__init__(model, site)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return rows without the columns that are not shown."""
        hidden = HIDDEN.get(self.model, set())
        return super().get_queryset(request).defer(*hidden)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let nobody add rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody change rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody delete rows."""
        return False


def is_shown(model: type[Model], field: Field) -> bool:
    """Return whether the admin shows a column."""
    return field.name not in HIDDEN.get(model, set())


for _model in SHOWN:
    admin.site.register(_model, ReadOnlyAdmin)
