"""The audit log (spec 12 §3)."""

from django.http import HttpRequest, HttpResponse

from api.console.progress import actions_table
from api.console.views import ROWS, ConsoleView, page_number, pager
from api.models import AuditEntry


class AuditView(ConsoleView):
    """All that operators did, the newest first."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of the log."""
        entries = AuditEntry.objects.order_by("-id")
        first = (page_number(request) - 1) * ROWS
        table = actions_table(
            entries[first : first + ROWS], name="audit", title="Actions, newest first"
        )
        context = {"pager": pager(request, entries.count())}
        return self.page("audit", context, tables=[table])
