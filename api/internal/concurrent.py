"""Daily concurrent usage of one customer, today's running result included (spec 02 §6)."""

from dataclasses import replace

from rest_framework.permissions import IsAuthenticated

from api.internal.access import IsKnownCaller
from api.internal.views import InternalView
from api.public import usage
from api.public.authentication import InternalFakeIdentityAuthentication
from api.public.views import DailyConcurrentUsageView


class ConcurrentView(InternalView, DailyConcurrentUsageView):
    """Daily concurrent usage of RHEL."""

    authentication_classes = [InternalFakeIdentityAuthentication]
    permission_classes = [IsKnownCaller, IsAuthenticated]
    renderer_classes = DailyConcurrentUsageView.renderer_classes
    start = replace(usage.START, latest=0, too_late="cannot be in the future.")
    end = replace(usage.END, latest=1)
