"""How many accounts are in which state, for metrics and operators (spec 10 §2)."""

from datetime import date

from django.db.models import Count

from api.models import CloudType, CoverageDay


def accounts_by_state(day: date) -> dict[tuple[str, str], int]:
    """Return how many accounts of each cloud are in each state on a UTC day; zeros too."""
    found = CoverageDay.objects.filter(date=day).values_list("cloud_account__cloud_type", "state")
    numbers = {
        (str(cloud), str(state)): 0
        for cloud in CloudType.values
        for state in CoverageDay.State.values
    }
    return numbers | {
        (cloud, state): number for cloud, state, number in found.annotate(Count("id")).order_by()
    }
