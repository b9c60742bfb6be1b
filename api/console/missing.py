"""What there is not, said as a page."""

from django.http import Http404, HttpRequest, HttpResponse

from api.console.views import ConsoleView


class MissingView(ConsoleView):
    """Any other URL below the console's, closed to strangers like the rest."""

    def get(self, request: HttpRequest, anything: str) -> HttpResponse:
        """Raise Http404."""
        raise Http404

    post = get
