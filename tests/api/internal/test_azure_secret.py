"""When our application's secret in Azure expires, as far as the deployment tells (fault 25)."""

from datetime import UTC, date, datetime

import pytest

from api.internal.gauges import azure_secret
from cloudigrade.settings.clouds import _date_of


def samples():
    (family,) = azure_secret()
    return {sample.name: sample.value for sample in family.samples}


def test_the_day_is_a_metric(settings):
    settings.AZURE_CLIENT_EXPIRES = date(2027, 1, 31)
    assert samples() == {
        "cloudigrade_azure_client_secret_expires_timestamp_seconds": datetime(
            2027, 1, 31, tzinfo=UTC
        ).timestamp()
    }


def test_what_is_not_known_is_not_told(settings):
    settings.AZURE_CLIENT_EXPIRES = None
    assert samples() == {}


def test_the_variable_is_a_date():
    assert _date_of("NAME", " 2027-01-31 ") == date(2027, 1, 31)


@pytest.mark.parametrize("text", ["31.1.2027", "2027-02-30", "soon", "1800000000"])
def test_anything_else_is_named_at_start(text):
    with pytest.raises(ValueError, match=r"NAME is no date such as 2027-01-31"):
        _date_of("NAME", text)
