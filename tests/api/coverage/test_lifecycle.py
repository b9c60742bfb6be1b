"""What the life of an account records is what coverage reads (spec 10 §2, 09 P9)."""

from datetime import timedelta

import pytest

from api.accounts.lifecycle import pause_application, unpause_application
from api.accounts.states import API
from api.coverage.calculate import calculate_coverage
from api.models import AccountState, CloudAccount, CoverageDay
from tests import factories
from tests.api.accounts.conftest import clouds  # noqa: F401
from util import clock

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queued", "clouds")]

NOON = clock.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def covered(account):
    calculate_coverage()
    day = CoverageDay.objects.get(cloud_account=account, date=NOON.date())
    gaps = [gap for gap in day.gaps if gap["reason"] == "not_metered"]
    return day, [(gap["from"][11:19], gap["to"][11:19]) for gap in gaps]


def test_acceptance_4_a_pause_and_its_end():
    """Recorded now, the changes are moved to yesterday, whose noon they were at."""
    long_ago = NOON - timedelta(days=5)
    account = factories.make_aws_account(created_at=long_ago, enabled_at=long_ago)
    pause_application(application_id=account.platform_application_id, trigger=API)
    AccountState.objects.update(at=NOON)
    day, gaps = covered(account)
    assert (day.metered_seconds, gaps) == (12 * 3600, [("12:00:00", "00:00:00")])
    known = set(AccountState.objects.values_list("id", flat=True))
    unpause_application(application_id=account.platform_application_id, trigger=API)
    assert CloudAccount.objects.get().is_enabled
    AccountState.objects.exclude(id__in=known).update(at=NOON + timedelta(hours=2))
    CoverageDay.objects.all().delete()
    day, gaps = covered(account)
    assert (day.metered_seconds, gaps) == (22 * 3600, [("12:00:00", "14:00:00")])
